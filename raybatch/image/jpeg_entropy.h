/* Reads the coefficients of a JPEG's blocks from its bits; see jpeg_entropy.c. */

#ifndef RAYBATCH_JPEG_ENTROPY_H
#define RAYBATCH_JPEG_ENTROPY_H

#include "libjpeg.h"

typedef struct Entropy Entropy;

/* Lets the started `jpeg` read its coefficients with the code here, if it is an 8-bit JPEG of one
   scan with Huffman codes. Returns what `end_of_entropy` frees after the last row, or NULL if
   nothing was changed. */
Entropy *use_own_entropy(Jpeg *jpeg);

void end_of_entropy(Entropy *entropy);

#endif
