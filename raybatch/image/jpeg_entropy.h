/* The coefficients of a JPEG's blocks out of its bits, see jpeg_entropy.c. */

#ifndef RAYBATCH_JPEG_ENTROPY_H
#define RAYBATCH_JPEG_ENTROPY_H

#include "libjpeg.h"

typedef struct Entropy Entropy;

/* Let the started `jpeg` read its coefficients by the code here, if it is a JPEG of one scan with Huffman codes of 8-bit images. Returns what
   `end_of_entropy` frees after the last row; NULL if nothing was changed. */
Entropy *use_own_entropy(Jpeg *jpeg);

void end_of_entropy(Entropy *entropy);

#endif
