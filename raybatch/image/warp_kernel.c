/* Pillow's affine and perspective transforms of 8-bit images with its bilinear filter, bit for bit.
   They are computed in doubles, in Pillow's order. */

#include <stdint.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define IS_X86 1
#endif

#ifdef __GNUC__
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

enum { BLOCK = 64 };

/* A block of pixels of the result. Each lies between four pixels of the image; `right` and `down`
   are how far it is from the first of these. */
typedef struct {
    uint32_t pixels[4][BLOCK];
    double right[BLOCK], down[BLOCK];
    int32_t places[4][BLOCK], is_inside[BLOCK];
} Block;

/* Computes one channel of all pixels of a block: the bits from `shift` on. */
INLINE void mix(const Block *restrict block, uint32_t *restrict made, int shift) {
    for (int at = 0; at < BLOCK; at++) {
        double one = (double)(int)(block->pixels[0][at] >> shift & 255), other = (double)(int)(block->pixels[1][at] >> shift & 255);
        double third = (double)(int)(block->pixels[2][at] >> shift & 255), last = (double)(int)(block->pixels[3][at] >> shift & 255);
        double above = one + (other - one) * block->right[at], below = third + (last - third) * block->right[at];
        made[at] |= (uint32_t)(int)(above + (below - above) * block->down[at]) << shift;
    }
}

/* Transforms an image of fewer than 2^31 pixels, each of `step` bytes, 1 or 4. `to` holds (a, b, c,
   d, e, f, g, h), which map the result to the image. Where the result shows no part of the image,
   it is left unchanged. */
INLINE void warp(const uint8_t *restrict in, int width, int height, uint8_t *restrict out, int columns, int rows, const double *to, int step,
                 int is_affine) {
    Block block;
    for (int64_t row = 0; row < rows; row++)
        for (int start = 0; start < columns; start += BLOCK) {
            double y_out = (double)row + 0.5;
            for (int at = 0; at < BLOCK; at++) {
                double x_out = (double)(start + at) + 0.5;
                double x = to[0] * x_out + to[1] * y_out + to[2], y = to[3] * x_out + to[4] * y_out + to[5];
                if (!is_affine) {
                    double depth = to[6] * x_out + to[7] * y_out + 1;
                    x /= depth;
                    y /= depth;
                }
                int is_inside = (x >= 0.0) & (x < (double)width) & (y >= 0.0) & (y < (double)height);
                /* A place outside is moved into the image, so that it can be read. Its pixel is not
                   written. */
                x = x > 0.0 ? x : 0.0;
                y = y > 0.0 ? y : 0.0;
                x = (x < (double)width ? x : (double)width) - 0.5;
                y = (y < (double)height ? y : (double)height) - 0.5;
                int left = (int)x, top = (int)y; /* rounded towards 0, so one too large for negative numbers */
                left -= x < (double)left;
                top -= y < (double)top;
                block.right[at] = x - (double)left;
                block.down[at] = y - (double)top;
                int next = left + 1 < width ? left + 1 : width - 1, below = top + 1 < height ? top + 1 : height - 1;
                left = left > 0 ? left : 0;
                top = top > 0 ? top : 0;
                block.places[0][at] = top * width + left;
                block.places[1][at] = top * width + next;
                block.places[2][at] = below * width + left;
                block.places[3][at] = below * width + next;
                block.is_inside[at] = is_inside;
            }
            for (int corner = 0; corner < 4; corner++)
                for (int at = 0; at < BLOCK; at++) {
                    int64_t place = block.places[corner][at];
                    block.pixels[corner][at] = step == 4 ? ((const uint32_t *)in)[place] : in[place];
                }
            uint32_t made[BLOCK] = {0};
            mix(&block, made, 0);
            if (step == 4) {
                mix(&block, made, 8);
                mix(&block, made, 16);
            }
            int count = columns - start < BLOCK ? columns - start : BLOCK;
            for (int at = 0; at < count; at++) {
                int64_t place = row * columns + start + at;
                if (step == 4)
                    ((uint32_t *)out)[place] = block.is_inside[at] ? made[at] | 0xff000000u : ((uint32_t *)out)[place];
                else
                    out[place] = block.is_inside[at] ? (uint8_t)made[at] : out[place];
            }
        }
}

#define PARAMETERS                                                                                                                       \
    (const uint8_t *in, int width, int height, uint8_t *out, int columns, int rows, const double *to, int step, int is_affine)

/* With constant `step` and `is_affine`, compilers can vectorize the loops of each case. */
#define CASES                                                            \
    if (step == 4 && is_affine)                                          \
        warp(in, width, height, out, columns, rows, to, 4, 1);           \
    else if (step == 4)                                                  \
        warp(in, width, height, out, columns, rows, to, 4, 0);           \
    else if (is_affine)                                                  \
        warp(in, width, height, out, columns, rows, to, 1, 1);           \
    else                                                                 \
        warp(in, width, height, out, columns, rows, to, 1, 0);

#ifdef IS_X86
__attribute__((target("avx2"))) static void warp_avx2 PARAMETERS { CASES }
#endif
static void warp_plain PARAMETERS { CASES }

void image_warp PARAMETERS {
#ifdef IS_X86
    if (__builtin_cpu_supports("avx2")) {
        warp_avx2(in, width, height, out, columns, rows, to, step, is_affine);
        return;
    }
#endif
    warp_plain(in, width, height, out, columns, rows, to, step, is_affine);
}
