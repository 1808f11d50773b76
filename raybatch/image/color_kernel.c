/* Changes of colour that are slow in Pillow, with Pillow's pixels, bit for bit: hue, saturation,
   sharpness, and tables of levels.

   Compilers can vectorize every loop. On x86 each function is compiled twice, the second time for
   AVX2; that of tables for AVX-512. */

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define IS_X86 1
#include <immintrin.h>
#endif

#ifdef __GNUC__
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

/* Blends as Pillow's ImagingBlend does: in single precision, clipped, then truncated. */
INLINE int blended(int from, int to, float factor) {
    float value = (float)from + factor * (float)(to - from);
    value = value > 0.0f ? value : 0.0f;
    return (int)(value < 255.0f ? value : 255.0f);
}

/* Joins three channels to a pixel of four bytes. */
INLINE uint32_t joined(int red, int green, int blue) {
    return (uint32_t)red | (uint32_t)green << 8 | (uint32_t)blue << 16 | 0xff000000u;
}

/* Looks up each byte of pixels of four bytes (red, green, blue, unused) in the 256 levels of its
   channel. */
INLINE void look_up_levels(const uint32_t *restrict in, uint32_t *restrict out, int64_t pixels, const uint8_t *restrict table) {
    for (int64_t at = 0; at < pixels; at++)
        out[at] = joined(table[in[at] & 255], table[256 + (in[at] >> 8 & 255)], table[512 + (in[at] >> 16 & 255)]);
}

/* Blends such pixels with their luminance (ITU-R 601-2, rounded as Pillow rounds it). */
INLINE void saturate(const uint32_t *restrict in, uint32_t *restrict out, int64_t pixels, float factor) {
    for (int64_t at = 0; at < pixels; at++) {
        int red = in[at] & 255, green = in[at] >> 8 & 255, blue = in[at] >> 16 & 255;
        int grey = (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16;
        out[at] = joined(blended(grey, red, factor), blended(grey, green, factor), blended(grey, blue, factor));
    }
}

/* Blends an image with a smoothed copy of itself. A row has `bytes` bytes, and a pixel has `step`.
   The copy is that of ImageFilter.SMOOTH: a sum whose weights add up to 13. It leaves the pixels at
   the edges unchanged. Pillow divides the sum by 13 in floats and rounds. The quotient is never
   near a half, so integers give the same result. */
INLINE void sharpen(const uint8_t *restrict in, uint8_t *restrict out, int64_t rows, int64_t bytes, int64_t step, float factor) {
    if (rows < 3 || bytes < 3 * step) {
        memcpy(out, in, rows * bytes);
        return;
    }
    memcpy(out, in, bytes);
    for (int64_t row = 1; row < rows - 1; row++) {
        const uint8_t *here = in + row * bytes, *above = here - bytes, *below = here + bytes;
        uint8_t *restrict to = out + row * bytes;
        memcpy(to, here, step);
        for (int64_t at = step; at < bytes - step; at++) {
            unsigned sum = above[at - step] + above[at] + above[at + step] + here[at - step] + 5 * here[at] + here[at + step] +
                           below[at - step] + below[at] + below[at + step];
            to[at] = blended((uint16_t)(2 * sum + 13) / 26, here[at], factor);
        }
        memcpy(to + bytes - step, here + bytes - step, step);
    }
    memcpy(out + (rows - 1) * bytes, in + (rows - 1) * bytes, bytes);
}

/* Converts pixels of four bytes to 8-bit HSV, adds `shift` to the hue modulo 256, and converts them
   back. Types and order of operations are those of Pillow's conversions, which follow Python's
   colorsys; a double here is a double there. Choices are products with 0 or 1, because compilers do
   not vectorize branches between floats. */
INLINE void shift_hue(const uint32_t *restrict in, uint32_t *restrict out, int64_t pixels, int shift) {
    for (int64_t at = 0; at < pixels; at++) {
        int red = in[at] & 255, green = in[at] >> 8 & 255, blue = in[at] >> 16 & 255;
        int most = red > green ? red : green, least = red < green ? red : green;
        most = most > blue ? most : blue;
        least = least < blue ? least : blue;
        int span = most - least;
        float whole = (float)(span | (span == 0));
        /* Where on the colour circle the largest channel lies, in sixths, and how far below it are
           the channel before it and the channel after it. */
        int is_red = -(red == most), is_green = ~is_red & -(green == most), is_blue = ~(is_red | is_green);
        int third = (is_green & 2) | (is_blue & 4);
        int before = most - ((is_red & blue) | (is_green & red) | (is_blue & green));
        int after = most - ((is_red & green) | (is_green & blue) | (is_blue & red));
        float place = (float)((double)third + (double)((float)before / whole) - (double)((float)after / whole));
        double turn = place / 6.0 + 1.0;
        place = (float)(turn - (double)(int)turn);
        int hue = ((int)(place * 255.0) + shift) & 255;
        int saturation = (int)((float)span / (float)(most | (most == 0)) * 255.0);
        /* Back to RGB: in which sixth of the circle the hue lies, and how far into that sixth. */
        double sixths = (float)hue * 6.0 / 255.0;
        int sixth = (int)sixths, is_odd = sixth & 1;
        float within = (float)(sixths - (double)sixth), full = (float)(saturation / 255.0);
        double falling = full * within, rising = full * (1.0 - within);
        int low = (int)((float)most * (1.0 - full) + 0.5);
        int middle = (int)((float)most * (1.0 - ((double)is_odd * falling + (double)(1 - is_odd) * rising)) + 0.5);
        /* The masks have one bit for each sixth, and a seventh bit, because the end of the circle
           is its start. The first mask says where the channel is the largest, the second where it
           is the middle one. */
        red = low + (-(0x61 >> sixth & 1) & (most - low)) + (-(0x12 >> sixth & 1) & (middle - low));
        green = low + (-(0x06 >> sixth & 1) & (most - low)) + (-(0x49 >> sixth & 1) & (middle - low));
        blue = low + (-(0x18 >> sixth & 1) & (most - low)) + (-(0x24 >> sixth & 1) & (middle - low));
        out[at] = joined(red, green, blue);
    }
}

#ifdef IS_X86
/* Does what `look_up_levels` does, with an instruction that looks up 64 bytes in 128 levels. It looks
   up all bytes in the lower half and in the upper half of each table, and keeps the bytes of the
   table's own channel. */
__attribute__((target("avx512f,avx512bw,avx512vbmi"))) static void look_up_levels_vbmi(const uint32_t *in, uint32_t *out, int64_t pixels,
                                                                                        const uint8_t *table) {
    __m512i levels[12];
    for (int part = 0; part < 12; part++) levels[part] = _mm512_loadu_si512(table + 64 * part);
    for (int64_t at = 0; at < pixels; at += 16) {
        __mmask16 there = pixels - at < 16 ? (__mmask16)((1 << (pixels - at)) - 1) : (__mmask16)0xffff;
        __m512i bytes = _mm512_maskz_loadu_epi32(there, in + at), made = _mm512_set1_epi32(-1);
        __mmask64 is_high = _mm512_movepi8_mask(bytes);
        for (int channel = 0; channel < 3; channel++) {
            const __m512i *own = levels + 4 * channel;
            __m512i low = _mm512_permutex2var_epi8(own[0], bytes, own[1]), high = _mm512_permutex2var_epi8(own[2], bytes, own[3]);
            __mmask64 is_own = 0x1111111111111111u << channel;
            made = _mm512_mask_mov_epi8(made, is_own, _mm512_mask_mov_epi8(low, is_high, high));
        }
        _mm512_mask_storeu_epi32(out + at, there, made);
    }
}
#endif

/* Defines a function that calls the version for this processor. */
#ifdef IS_X86
#define VERSIONS(name, parameters, arguments)                                                    \
    __attribute__((target("avx2"))) static void name##_avx2 parameters { name arguments; }       \
    static void name##_plain parameters { name arguments; }                                      \
    void image_##name parameters { __builtin_cpu_supports("avx2") ? name##_avx2 arguments : name##_plain arguments; }
#else
#define VERSIONS(name, parameters, arguments) \
    void image_##name parameters { name arguments; }
#endif

void image_look_up_levels(const uint32_t *in, uint32_t *out, int64_t pixels, const uint8_t *table) {
#ifdef IS_X86
    if (__builtin_cpu_supports("avx512vbmi")) {
        look_up_levels_vbmi(in, out, pixels, table);
        return;
    }
#endif
    look_up_levels(in, out, pixels, table);
}

VERSIONS(saturate, (const uint32_t *in, uint32_t *out, int64_t pixels, float factor), (in, out, pixels, factor))
VERSIONS(sharpen, (const uint8_t *in, uint8_t *out, int64_t rows, int64_t bytes, int64_t step, float factor),
         (in, out, rows, bytes, step, factor))
VERSIONS(shift_hue, (const uint32_t *in, uint32_t *out, int64_t pixels, int shift), (in, out, pixels, shift))
