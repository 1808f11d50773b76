/* Decodes a part of a JPEG with the library that Pillow has loaded, so that the pixels are
   Pillow's.

   The bits of rows and columns outside the part are read, since each block is coded after the one
   before, but no pixels are made of them. The library computes pixels from coefficients;
   jpeg_entropy.c reads the coefficients from the bits. */

#include <setjmp.h>
#include <string.h>

#include "jpeg_entropy.h"

enum { VERSION_62 = 62, GREY = 1, RGBX = 7, ROWS_AT_ONCE = 8 };
enum { DECODED, NOT_DECODED };

typedef struct {
    Errors errors; /* first, so that a pointer to it is also a pointer to the Trap */
    jmp_buf back;
} Trap;

static void stop(Jpeg *jpeg) { longjmp(((Trap *)jpeg->err)->back, 1); }

/* A warning means that the file is damaged. Such files are left to Pillow. */
static void stop_at_warning(Jpeg *jpeg, int level) {
    if (level < 0) stop(jpeg);
}

/* Decodes the rows from `top` up to `bottom`, and at least the columns from `*left` up to `*right`,
   of the image whose sides are divided by `scale`. Sets `*left` and `*right` to the decoded
   columns. `out` has room for one more row. Returns DECODED, or NOT_DECODED if the file has any
   fault. */
int decode_jpeg_part(const Library *library, int64_t size, const uint8_t *data, int64_t length, int scale, int channels, unsigned *left,
                     unsigned top, unsigned *right, unsigned bottom, uint8_t *out) {
    Jpeg jpeg;
    Trap trap;
    memset(&jpeg, 0, sizeof jpeg);
    if (size > (int64_t)sizeof jpeg) return NOT_DECODED;
    jpeg.err = library->std_error(&trap.errors);
    trap.errors.error_exit = stop;
    trap.errors.emit_message = stop_at_warning;
    if (setjmp(trap.back)) {
        if (jpeg.mem) library->destroy_decompress(&jpeg);
        end_of_entropy(jpeg.client_data);
        return NOT_DECODED;
    }
    library->CreateDecompress(&jpeg, VERSION_62, size);
    library->mem_src(&jpeg, data, length);
    library->read_header(&jpeg, 1);
    jpeg.scale_num = 1;
    jpeg.scale_denom = scale;
    jpeg.out_color_space = channels == 1 ? GREY : RGBX;
    library->start_decompress(&jpeg);
    use_own_entropy(&jpeg);
    if (jpeg.output_components != channels || *right > jpeg.output_width || bottom > jpeg.output_height) stop(&jpeg);
    unsigned width = *right - *left;
    if (width < jpeg.output_width) library->crop_scanline(&jpeg, left, &width);
    *right = *left + width;
    if (top) library->skip_scanlines(&jpeg, top);
    while (jpeg.output_scanline < bottom) {
        uint8_t *rows[ROWS_AT_ONCE];
        unsigned count = bottom - jpeg.output_scanline;
        count = count > ROWS_AT_ONCE ? ROWS_AT_ONCE : count;
        for (unsigned row = 0; row < count; row++) rows[row] = out + (int64_t)(jpeg.output_scanline - top + row) * width * channels;
        library->read_scanlines(&jpeg, rows, count);
    }
    /* The rest of the file is read too, since it may be damaged. If all remaining rows were
       skipped, the library would not read them, so the last row is decoded. */
    if (bottom < jpeg.output_height) {
        uint8_t *unused = out + (int64_t)(bottom - top) * width * channels;
        if (bottom + 1 < jpeg.output_height) library->skip_scanlines(&jpeg, jpeg.output_height - 1 - bottom);
        library->read_scanlines(&jpeg, &unused, 1);
    }
    library->finish_decompress(&jpeg);
    library->destroy_decompress(&jpeg);
    end_of_entropy(jpeg.client_data);
    return DECODED;
}
