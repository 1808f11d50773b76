/* Pillow's resampling of images with 8 bits a channel, bit for bit. One call crops, scales, mirrors
   and lays out an image.

   The algorithm with all its rounding is that of src/libImaging/Resample.c in Pillow: two passes
   with fixed-point weights of 22 bits, each rounded and clipped to 8 bits. Only the way in which
   the sums are formed differs.

   Pixels are summed in pairs. One instruction multiplies two 16-bit numbers by two others and adds
   the products; on some processors a 32-bit multiplication takes many times as long. So a weight is
   split, w = 2048 high + low with 0 <= low < 2048. Then

       sum of p w = 2048 (sum of p high) + (sum of p low)

   is exact: |w| < 2^24 for every filter here, so |high| < 2^13 and low < 2^11 fit 16 bits. The
   parts may wrap around, but their total is Pillow's 32-bit sum, which does not overflow. The plain
   version multiplies whole weights, because NEON has a fast instruction for that.

       source rows --widen--> strip --sum--> window --sum--> line --write--> out
       (8 rows, or            (pairs of      (pairs of       (bytes)
        32 of grey)            columns)       rows)

   A quad is 16 bytes: four lanes, each a pair of 16-bit pixels. Its lanes are the channels of a
   pixel, or four rows of a grey image. If the vertical pass comes first, rows are widened to the
   window, and lines to the strip.

   This file includes itself, once for each kind of processor. */

#ifndef VERSION

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define IS_X86 1
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { BOX, BILINEAR, HAMMING, BICUBIC, LANCZOS };
enum { WEIGHT_BITS = 22, LOW_BITS = 11, QUADS = 8, QUAD_BYTES = 16, ALIGNMENT = 64 };

typedef struct {
    int64_t count, pairs; /* the number of pixels, and of pairs of source pixels in the sum of each */
    int64_t *first;       /* where the first pair of each pixel begins: an even number */
    int32_t *weights;     /* for each pair: two high parts in 32 bits, then two low parts; or two whole weights */
} Axis;

typedef struct {
    const uint8_t *source;
    int64_t stride, pixel_bytes, width, height;
    uint8_t *out;
    int64_t row_stride, pixel_stride, channel_stride, channels;
    const uint32_t *table; /* (channels, 256): the values of the bytes; or NULL */
    Axis x, y;
    int64_t lanes;       /* of a pixel: 4, or 1 for grey */
    int64_t left, right; /* the columns that are needed; `left` is even */
    int64_t bottom;      /* where the needed rows end; rows below may not exist */
    uint8_t *memory;     /* for intermediate results */
} Job;

static int64_t aligned(int64_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static double sinc(double x) {
    if (x == 0.0) return 1.0;
    x *= M_PI;
    return sin(x) / x;
}

static double filter(int kind, double x) {
    const double a = -0.5;
    if (kind == BOX) return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
    if (kind == LANCZOS) return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
    x = fabs(x);
    if (kind == BILINEAR) return x < 1.0 ? 1.0 - x : 0.0;
    if (kind == HAMMING) {
        if (x == 0.0) return 1.0;
        if (x >= 1.0) return 0.0;
        x *= M_PI;
        return sin(x) / x * (0.54f + 0.46f * cos(x));
    }
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

typedef struct {
    double start, scale, support, inverse;
    int size;
} Reach;

static Reach reach_of(int kind, int size, float start, float end, int count) {
    static const double supports[] = {0.5, 1.0, 1.0, 2.0, 3.0};
    double scale = (double)(end - start) / count, larger = scale < 1.0 ? 1.0 : scale;
    return (Reach){start, scale, supports[kind] * larger, 1.0 / larger, size};
}

/* Returns the first source pixel of pixel number `at`. Sets the centre, and the number of source
   pixels, as precompute_coeffs does. */
static int first_of(const Reach *reach, int at, double *center, int *taps) {
    *center = reach->start + (at + 0.5) * reach->scale;
    int first = (int)(*center - reach->support + 0.5), end = (int)(*center + reach->support + 0.5);
    first = first < 0 ? 0 : first;
    *taps = (end > reach->size ? reach->size : end) - first;
    return first;
}

static int64_t most_pairs(const Reach *reach, int from, int to) {
    int most = 1, taps;
    double center;
    for (int at = from; at < to; at++) {
        int first = first_of(reach, at, &center, &taps);
        int pairs = ((first & 1) + taps + 1) / 2;
        most = pairs > most ? pairs : most;
    }
    return most;
}

/* Writes the weights of the pixels from `from` up to `to`, as precompute_coeffs and then
   normalize_coeffs_8bpc do. The weights are split unless `are_whole`. */
static void write_weights(Axis *axis, const Reach *reach, int kind, int from, int to, double *shares, int are_whole) {
    for (int at = from; at < to; at++) {
        int taps;
        double center, total = 0.0;
        int first = first_of(reach, at, &center, &taps);
        for (int tap = 0; tap < taps; tap++) {
            shares[tap] = filter(kind, (tap + first - center + 0.5) * reach->inverse);
            total += shares[tap];
        }
        int32_t *weights = axis->weights + (at - from) * axis->pairs * 2;
        axis->first[at - from] = first & ~1;
        memset(weights, 0, axis->pairs * 2 * sizeof *weights);
        for (int tap = 0; tap < taps; tap++) {
            double share = total != 0.0 ? shares[tap] / total : shares[tap];
            int weight = (int)((share < 0 ? -0.5 : 0.5) + share * (1 << WEIGHT_BITS));
            int place = tap + (first & 1), shift = 16 * (place & 1);
            if (are_whole) {
                weights[place] = weight;
                continue;
            }
            uint32_t high = (uint16_t)(weight >> LOW_BITS), low = weight & ((1 << LOW_BITS) - 1);
            weights[place / 2 * 2] |= (int32_t)(high << shift);
            weights[place / 2 * 2 + 1] |= (int32_t)(low << shift);
        }
    }
}

/* Returns the row of the strip whose pixels are in lane `lane` of its quad `quad`. `groups` quads
   form a vector. Vectors come in twos: the first has rows of even numbers, and the second the rows
   below these. So the sums come out as pairs of rows. */
static int row_of(int quad, int lane, int lanes, int groups) {
    int vector = quad / groups, group = quad % groups;
    int pair = vector / 2 * groups + group; /* of quads; the rows of one are those below the rows of the other */
    return lanes == 4 ? 2 * pair + vector % 2 : 8 * pair + 2 * lane + vector % 2;
}

typedef uint8_t Bytes __attribute__((vector_size(16), may_alias));
typedef uint32_t Words __attribute__((vector_size(16)));
typedef uint64_t Longs __attribute__((vector_size(16)));

/* Takes the bytes with these numbers from two vectors; the second vector's begin at 16. */
#ifdef __clang__
#define MIXED(one, other, ...) __builtin_shufflevector(one, other, __VA_ARGS__)
#else
#define MIXED(one, other, ...) __builtin_shuffle(one, other, (Bytes){__VA_ARGS__})
#endif

/* Interleaves elements of `bits` bits of two vectors: the lower half of each, or the upper half. */
#define LOWER_ZIP(one, other, bits) LOWER_ZIP_##bits(one, other)
#define UPPER_ZIP(one, other, bits) UPPER_ZIP_##bits(one, other)
#define LOWER_ZIP_8(one, other) MIXED(one, other, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define UPPER_ZIP_8(one, other) MIXED(one, other, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define LOWER_ZIP_16(one, other) MIXED(one, other, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23)
#define UPPER_ZIP_16(one, other) MIXED(one, other, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31)
#define LOWER_ZIP_32(one, other) MIXED(one, other, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23)
#define UPPER_ZIP_32(one, other) MIXED(one, other, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31)

static void widen_one(const uint8_t *const *rows, int64_t x, int64_t width, int64_t pixel_bytes, int16_t *quad) {
    int64_t other = x + 1 < width ? x + 1 : x;
    for (int lane = 0; lane < 4; lane++) {
        const uint8_t *row = rows[pixel_bytes == 1 ? lane : 0];
        int channel = pixel_bytes == 1 ? 0 : lane < pixel_bytes ? lane : 0;
        quad[2 * lane] = row[x * pixel_bytes + channel];
        quad[2 * lane + 1] = row[other * pixel_bytes + channel];
    }
}

#define JOIN(a, b) a##b
#define NAMED(name, version) JOIN(name, version)
#define OF(name) NAMED(name, VERSION)

#define VERSION _plain
#define TARGET
#define GROUPS 1
#include "kernel.c"

#ifdef IS_X86
#define VERSION _avx2
#define TARGET __attribute__((target("avx2")))
#define GROUPS 2
#include "kernel.c"
#define VERSION _avx512
#define TARGET __attribute__((target("avx2,avx512f,avx512bw,avx512vl")))
#define GROUPS 4
#include "kernel.c"
#define VERSION _vnni
#define TARGET __attribute__((target("avx2,avx512f,avx512bw,avx512vl,avx512vnni")))
#define GROUPS 4
#define HAS_VNNI
#include "kernel.c"
#endif

/* The digest of the sources from which this was compiled; setup.py computes it. */
const char *built_from(void) { return SOURCES; }

/* Returns the number of the best version that this processor can run, in the order of `run`. */
int best_version(void) {
#ifdef IS_X86
    __builtin_cpu_init();
    int wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (wide && __builtin_cpu_supports("avx512vnni")) return 3;
    if (wide) return 2;
    if (__builtin_cpu_supports("avx2")) return 1;
#endif
    return 0;
}

static void run(int version, const Job *job, int is_vertical_first) {
#ifdef IS_X86
    switch (version) {
    case 1: is_vertical_first ? rows_first_avx2(job) : columns_first_avx2(job); return;
    case 2: is_vertical_first ? rows_first_avx512(job) : columns_first_avx512(job); return;
    case 3:
        is_vertical_first ? rows_first_vnni(job) : columns_first_vnni(job);
        _mm_sfence(); /* the writes past the cache come before anything that follows */
        return;
    }
#endif
    (void)version;
    is_vertical_first ? rows_first_plain(job) : columns_first_plain(job);
}

/* Resamples the image at the address `source`, with `pixel_bytes` of 1, 3 or 4, to `columns` x
   `rows`. Writes the pixels of the result from (`left`, `top`) up to (`right`, `bottom`) to the
   address `out`. The caller has checked that the box lies in the image. Returns 0, or 1 if there is
   no memory. */
int resample(int version, int is_vertical_first, int kind, const uint8_t *source, int64_t stride, int64_t pixel_bytes, int width, int height,
             float box_left, float box_top, float box_right, float box_bottom, int columns, int rows, int left, int top, int right, int bottom,
             uint8_t *out, int64_t row_stride, int64_t pixel_stride, int64_t channel_stride, int64_t channels, const uint32_t *table) {
    Job job = {source, stride, pixel_bytes, width, height, out, row_stride, pixel_stride, channel_stride, channels, table,
               {right - left, 0, 0, 0}, {bottom - top, 0, 0, 0}, pixel_bytes == 1 ? 1 : 4, 0, 0, 0, 0};
    Reach x = reach_of(kind, width, box_left, box_right, columns), y = reach_of(kind, height, box_top, box_bottom, rows);
    job.x.pairs = most_pairs(&x, left, right);
    job.y.pairs = most_pairs(&y, top, bottom);

    /* One block of memory: the weights, and what `columns_first` or `rows_first` works in. */
    int64_t most_shares = 2 * (job.x.pairs + job.y.pairs), strip_rows = job.lanes == 1 ? 4 * QUADS : QUADS;
    int64_t line = aligned((width > columns ? width : columns) * job.lanes + 4 * ALIGNMENT);
    int64_t window = 8 * (job.y.pairs + strip_rows) * line;
    int64_t weights = aligned(job.x.count * (8 + 8 * job.x.pairs)) + aligned(job.y.count * (8 + 8 * job.y.pairs));
    int64_t strip = (width / 2 + 2 + 2 * job.x.pairs) * QUADS * QUAD_BYTES;
    uint8_t *block = malloc(ALIGNMENT + aligned(8 * most_shares) + weights + strip + window + (strip_rows + 1) * line);
    if (!block) return 1;
    uint8_t *memory = block + ALIGNMENT - (uintptr_t)block % ALIGNMENT;
    double *shares = (double *)memory;
    memory += aligned(8 * most_shares);
    for (int number = 0; number < 2; number++) {
        Axis *axis = number ? &job.y : &job.x;
        axis->first = (int64_t *)memory;
        axis->weights = (int32_t *)(memory + 8 * axis->count);
        memory += aligned(axis->count * (8 + 8 * axis->pairs));
    }
    write_weights(&job.x, &x, kind, left, right, shares, version == 0);
    write_weights(&job.y, &y, kind, top, bottom, shares, version == 0);
    job.left = job.x.first[0];
    job.right = job.x.first[job.x.count - 1] + 2 * job.x.pairs;
    for (int64_t at = 0; at < job.x.count; at++) job.x.first[at] -= job.left;
    job.right = job.right > width ? width : job.right;
    job.bottom = job.y.first[job.y.count - 1] + 2 * job.y.pairs;
    job.bottom = job.bottom > height ? height : job.bottom;
    job.memory = memory;
    run(version, &job, is_vertical_first);
    free(block);
    return 0;
}

/* Writes the values that `table` holds for the bytes of `images` images of `count` pixels: 256
   values for each of the `channels`. */
void look_up(int version, const uint8_t *restrict pixels, int64_t images, int64_t count, int64_t channels, uint8_t *restrict out,
             int64_t image_stride, int64_t pixel_stride, int64_t channel_stride, const uint32_t *restrict table) {
    for (; images; images--, pixels += count * channels, out += image_stride) {
        int64_t x = 0;
#ifdef IS_X86
        if (version == 3 && channels == 3 && pixel_stride == 4) x = look_up_vnni(pixels, count, out, channel_stride, table);
#endif
        if (channels == 3)
            for (; x < count; x++) {
                memcpy(out + x * pixel_stride, table + pixels[3 * x], 4);
                memcpy(out + x * pixel_stride + channel_stride, table + 256 + pixels[3 * x + 1], 4);
                memcpy(out + x * pixel_stride + 2 * channel_stride, table + 512 + pixels[3 * x + 2], 4);
            }
        else
            for (int64_t channel = 0; channel < channels; channel++)
                for (x = 0; x < count; x++)
                    memcpy(out + x * pixel_stride + channel * channel_stride, table + 256 * channel + pixels[channels * x + channel], 4);
    }
    (void)version;
}

#else /* compiled once for each version */

#define VECTOR_BYTES (GROUPS * QUAD_BYTES)
#define VECTORS (QUADS / GROUPS)
typedef int32_t OF(V) __attribute__((vector_size(VECTOR_BYTES), may_alias));

/* PRODUCTS adds the products of two pairs to a sum. SPLAT fills a vector with one value. */
#if GROUPS == 1
#define SPLAT(value) ((OF(V)){value, value, value, value})
#elif GROUPS == 2
#define PRODUCTS(sum, pixels, pair) ((sum) + (OF(V))_mm256_madd_epi16((__m256i)(pixels), (__m256i)(pair)))
#define SPLAT(value) ((OF(V))_mm256_set1_epi32(value))
#elif defined(HAS_VNNI)
#define PRODUCTS(sum, pixels, pair) ((OF(V))_mm512_dpwssd_epi32((__m512i)(sum), (__m512i)(pixels), (__m512i)(pair)))
#define SPLAT(value) ((OF(V))_mm512_set1_epi32(value))
#else
#define PRODUCTS(sum, pixels, pair) ((sum) + (OF(V))_mm512_madd_epi16((__m512i)(pixels), (__m512i)(pair)))
#define SPLAT(value) ((OF(V))_mm512_set1_epi32(value))
#endif

#define ROUNDING SPLAT(1 << (WEIGHT_BITS - 1))

/* Adds the products of pairs of pixels and pairs of weights to the sums. Whole weights leave the
   high sums at 0. */
#if GROUPS == 1
#define ADD_PRODUCTS(high, low, pixels, one, other) ((void)(high), (low) += ((pixels) & 0xffff) * (one) + ((pixels) >> 16) * (other))
#define JOINED(high, low, bits) ((void)(high), (low) >> (bits))
#else
#define ADD_PRODUCTS(high, low, pixels, one, other) ((high) = PRODUCTS(high, pixels, one), (low) = PRODUCTS(low, pixels, other))
#define JOINED(high, low, bits) ((((high) << LOW_BITS) + (low)) >> (bits))
#endif

/* Turns two vectors of sums into bytes, one in the lower and one in the upper 16 bits. The shift
   leaves 10 bits of a 32-bit sum, so the result is clipped as a 16-bit number. The second vector is
   shifted by 16 bits less, which puts its numbers into the upper 16 bits. */
TARGET static inline __attribute__((always_inline)) OF(V) OF(paired)(const OF(V) *high, const OF(V) *low) {
    OF(V) lower = JOINED(high[0], low[0], WEIGHT_BITS), upper = JOINED(high[1], low[1], WEIGHT_BITS - 16);
#if GROUPS == 4
    __m512i both = _mm512_mask_blend_epi16(0xaaaaaaaa, (__m512i)lower, (__m512i)upper);
    return (OF(V))_mm512_min_epi16(_mm512_max_epi16(both, _mm512_setzero_si512()), _mm512_set1_epi16(255));
#elif GROUPS == 2
    __m256i both = _mm256_blend_epi16((__m256i)lower, (__m256i)upper, 0xaa);
    return (OF(V))_mm256_min_epi16(_mm256_max_epi16(both, _mm256_setzero_si256()), _mm256_set1_epi16(255));
#else
    typedef int16_t Halves __attribute__((vector_size(VECTOR_BYTES)));
    Halves both = (Halves)((lower & 0xffff) | (upper & ~0xffff));
#ifdef __aarch64__
    return (OF(V))vminq_s16(vmaxq_s16((int16x8_t)both, vdupq_n_s16(0)), vdupq_n_s16(255));
#endif
    both &= both > 0;
    Halves is_large = both > 255;
    return (OF(V))((both & ~is_large) | (is_large & 255));
#endif
}

/* Turns four vectors of sums into bytes, in order. The pack instructions also clip. They work on
   each 16 bytes separately, so the result must be reordered. */
TARGET static inline __attribute__((always_inline)) void OF(packed)(const OF(V) *high, const OF(V) *low, uint8_t *bytes) {
    OF(V) sums[4];
    for (int vector = 0; vector < 4; vector++) sums[vector] = JOINED(high[vector], low[vector], WEIGHT_BITS);
#if GROUPS == 4
    __m512i halves[2] = {_mm512_packs_epi32((__m512i)sums[0], (__m512i)sums[1]), _mm512_packs_epi32((__m512i)sums[2], (__m512i)sums[3])};
    __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_si512((void *)bytes, _mm512_permutexvar_epi32(order, _mm512_packus_epi16(halves[0], halves[1])));
#elif GROUPS == 2
    __m256i halves[2] = {_mm256_packs_epi32((__m256i)sums[0], (__m256i)sums[1]), _mm256_packs_epi32((__m256i)sums[2], (__m256i)sums[3])};
    __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256((void *)bytes, _mm256_permutevar8x32_epi32(_mm256_packus_epi16(halves[0], halves[1]), order));
#elif defined(__aarch64__)
    int16x8_t halves[2] = {vcombine_s16(vqmovn_s32((int32x4_t)sums[0]), vqmovn_s32((int32x4_t)sums[1])),
                           vcombine_s16(vqmovn_s32((int32x4_t)sums[2]), vqmovn_s32((int32x4_t)sums[3]))};
    vst1q_u8(bytes, vcombine_u8(vqmovun_s16(halves[0]), vqmovun_s16(halves[1])));
#else
    for (int vector = 0; vector < 4; vector++)
        for (int lane = 0; lane < 4; lane++) {
            int32_t sum = sums[vector][lane];
            bytes[4 * vector + lane] = sum < 0 ? 0 : sum > 255 ? 255 : sum;
        }
#endif
}

/* Widens the columns from `left` up to `right` of a strip of `count` rows, to pairs of columns. */
TARGET static void OF(widen)(const uint8_t *source, int64_t stride, int64_t pixel_bytes, int64_t width, int64_t left, int64_t right,
                             int64_t count, uint8_t *strip) {
    int lanes = pixel_bytes == 1 ? 1 : 4;
    Bytes zero = {0};
    const uint8_t *rows[QUADS][4];
    for (int quad = 0; quad < QUADS; quad++)
        for (int lane = 0; lane < 4; lane++) {
            int64_t row = row_of(quad, lane, lanes, GROUPS);
            rows[quad][lane] = source + (row < count ? row : count - 1) * stride;
        }
    int64_t x = left;
    if (lanes == 4) {
        /* 16 bytes are loaded for four pixels. Pixels of three bytes fill only 12 of them, but the
           other 4 must exist. */
        int64_t end = right - (pixel_bytes == 4 ? 3 : 5);
#if GROUPS > 1
        char b = pixel_bytes, z = -128;
        __m128i first = _mm_setr_epi8(0, z, b, z, 1, z, b + 1, z, 2, z, b + 2, z, 3 % b, z, b + 3 % b, z);
        __m128i second = _mm_add_epi8(first, _mm_set1_epi16(2 * b));
#endif
        for (; x < end; x += 4) {
            uint8_t *to = strip + (x - left) / 2 * QUADS * QUAD_BYTES;
            for (int vector = 0; vector < VECTORS; vector++) {
                int quad = vector * GROUPS;
#define PIXELS(number) _mm_loadu_si128((const void *)(rows[quad + number][0] + x * pixel_bytes))
#if GROUPS == 2
                __m256i pixels = _mm256_inserti128_si256(_mm256_castsi128_si256(PIXELS(0)), PIXELS(1), 1);
                __m256i low = _mm256_shuffle_epi8(pixels, _mm256_broadcastsi128_si256(first));
                __m256i high = _mm256_shuffle_epi8(pixels, _mm256_broadcastsi128_si256(second));
                _mm256_store_si256((void *)(to + quad * QUAD_BYTES), low);
                _mm256_store_si256((void *)(to + (QUADS + quad) * QUAD_BYTES), high);
#elif GROUPS == 4
                __m512i pixels = _mm512_castsi128_si512(PIXELS(0));
                pixels = _mm512_mask_broadcast_i32x4(pixels, 0x00f0, PIXELS(1));
                pixels = _mm512_mask_broadcast_i32x4(pixels, 0x0f00, PIXELS(2));
                pixels = _mm512_mask_broadcast_i32x4(pixels, 0xf000, PIXELS(3));
                __m512i low = _mm512_shuffle_epi8(pixels, _mm512_broadcast_i32x4(first));
                __m512i high = _mm512_shuffle_epi8(pixels, _mm512_broadcast_i32x4(second));
                _mm512_store_si512((void *)(to + quad * QUAD_BYTES), low);
                _mm512_store_si512((void *)(to + (QUADS + quad) * QUAD_BYTES), high);
#else
                Bytes pixels;
                memcpy(&pixels, rows[quad][0] + x * pixel_bytes, sizeof pixels);
                pixels = pixel_bytes == 4 ? MIXED(pixels, pixels, 0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15)
                                          : MIXED(pixels, pixels, 0, 3, 1, 4, 2, 5, 0, 3, 6, 9, 7, 10, 8, 11, 6, 9);
                *(Bytes *)(to + quad * QUAD_BYTES) = LOWER_ZIP(pixels, zero, 8);
                *(Bytes *)(to + (QUADS + quad) * QUAD_BYTES) = UPPER_ZIP(pixels, zero, 8);
#endif
#undef PIXELS
            }
        }
    } else {
        for (; x + 16 <= right; x += 16)
            for (int quad = 0; quad < QUADS; quad++) {
                uint8_t *to = strip + ((x - left) / 2 * QUADS + quad) * QUAD_BYTES;
                Bytes row[4];
                for (int lane = 0; lane < 4; lane++) memcpy(&row[lane], rows[quad][lane] + x, sizeof row[lane]);
                Bytes halves[2][2] = {{LOWER_ZIP(row[0], row[1], 16), LOWER_ZIP(row[2], row[3], 16)},
                                      {UPPER_ZIP(row[0], row[1], 16), UPPER_ZIP(row[2], row[3], 16)}};
                for (int half = 0; half < 2; half++) {
                    Bytes fours[2] = {LOWER_ZIP(halves[half][0], halves[half][1], 32), UPPER_ZIP(halves[half][0], halves[half][1], 32)};
                    for (int four = 0; four < 2; four++) {
                        uint8_t *pair = to + (half * 4 + four * 2) * QUADS * QUAD_BYTES;
                        *(Bytes *)pair = LOWER_ZIP(fours[four], zero, 8);
                        *(Bytes *)(pair + QUADS * QUAD_BYTES) = UPPER_ZIP(fours[four], zero, 8);
                    }
                }
            }
    }
    for (; x < right; x += 2)
        for (int quad = 0; quad < QUADS; quad++)
            widen_one(rows[quad], x, width, pixel_bytes, (int16_t *)(strip + ((x - left) / 2 * QUADS + quad) * QUAD_BYTES));
}

/* Sums the columns of a strip to pairs of rows. The first pair has the number `pair` in a window of
   `mask` + 1 pairs. */
TARGET static void OF(sum_columns)(const Job *job, const uint8_t *strip, uint8_t *window, int64_t window_stride, int64_t pair, int64_t mask) {
    int64_t pairs = job->x.pairs;
    uint8_t *rows[4 * QUADS];
    int64_t row_pairs = job->lanes == 1 ? 2 * QUADS : QUADS / 2;
    for (int64_t number = 0; number < row_pairs; number++) rows[number] = window + ((pair + number) & mask) * window_stride;
    for (int64_t x = 0; x < job->x.count; x++) {
        const OF(V) *pixels = (const OF(V) *)(strip + job->x.first[x] / 2 * QUADS * QUAD_BYTES);
        const int32_t *weights = job->x.weights + x * pairs * 2;
        OF(V) high[VECTORS], low[VECTORS];
        for (int vector = 0; vector < VECTORS; vector++) high[vector] = SPLAT(0), low[vector] = ROUNDING;
        for (int64_t number = 0; number < pairs; number++) {
            OF(V) one = SPLAT(weights[2 * number]), other = SPLAT(weights[2 * number + 1]);
            for (int vector = 0; vector < VECTORS; vector++) ADD_PRODUCTS(high[vector], low[vector], pixels[vector], one, other);
            pixels += VECTORS;
        }
        for (int vector = 0; vector < VECTORS; vector += 2) {
            OF(V) joined = OF(paired)(high + vector, low + vector);
            int32_t lanes[GROUPS * 4] __attribute__((aligned(ALIGNMENT)));
            memcpy(lanes, &joined, sizeof joined);
            if (job->lanes == 4)
                for (int group = 0; group < GROUPS; group++)
                    memcpy(rows[vector / 2 * GROUPS + group] + x * QUAD_BYTES, lanes + 4 * group, QUAD_BYTES);
            else
                for (int lane = 0; lane < GROUPS * 4; lane++)
                    memcpy(rows[vector / 2 * GROUPS * 4 + lane] + x * 4, lanes + lane, 4);
        }
    }
}

/* Sums the pairs of rows that make row `at` of the result, to a line of `count` bytes, rounded up
   to whole vectors. */
TARGET static void OF(sum_rows)(const Job *job, int64_t at, const uint8_t *window, int64_t window_stride, int64_t mask, int64_t count,
                                uint8_t *line) {
    int64_t pairs = job->y.pairs, first = job->y.first[at] / 2;
    const int32_t *weights = job->y.weights + at * pairs * 2;
    for (int64_t lane = 0; lane < count; lane += 16 * GROUPS) {
        OF(V) high[4], low[4];
        for (int vector = 0; vector < 4; vector++) high[vector] = SPLAT(0), low[vector] = ROUNDING;
        for (int64_t number = 0; number < pairs; number++) {
            OF(V) one = SPLAT(weights[2 * number]), other = SPLAT(weights[2 * number + 1]);
            const OF(V) *pixels = (const OF(V) *)(window + ((first + number) & mask) * window_stride + lane * 4);
            for (int vector = 0; vector < 4; vector++) ADD_PRODUCTS(high[vector], low[vector], pixels[vector], one, other);
        }
        OF(packed)(high, low, line + lane);
    }
}

#ifdef HAS_VNNI
/* Writes the values of eight pixels of four bytes, of which three are used. Older processors with a
   gather instruction are slower with it than without, so only this version uses it. Floats take so
   much memory that they would only push the image out of the cache. So they are written past the
   cache, where `is_aligned`. */
TARGET static inline __attribute__((always_inline)) void OF(look_up_eight)(__m256i pixels, const uint32_t *table, uint8_t *out, int64_t next,
                                                                           int is_aligned) {
    __m256i byte = _mm256_set1_epi32(255);
    for (int channel = 0; channel < 3; channel++, out += next) {
        __m256i values = _mm256_i32gather_epi32((const int *)table + 256 * channel, _mm256_and_si256(pixels, byte), 4);
        if (is_aligned)
            _mm256_stream_si256((void *)out, values);
        else
            _mm256_storeu_si256((void *)out, values);
        pixels = _mm256_srli_epi32(pixels, 8);
    }
}

static int has_aligned_planes(const uint8_t *out, int64_t next) { return ((uintptr_t)out | next) % 32 == 0; }

/* Writes the values of pixels of three bytes to three planes. Returns the number of pixels written,
   from the first on. */
TARGET static int64_t OF(look_up)(const uint8_t *pixels, int64_t count, uint8_t *out, int64_t next, const uint32_t *table) {
    __m256i apart = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1));
    int is_aligned = has_aligned_planes(out, next);
    int64_t x = 0;
    /* Of the 16 bytes loaded for the last four pixels, 4 belong to the pixels that follow. */
    for (; x + 10 <= count; x += 8) {
        __m128i first = _mm_loadu_si128((const void *)(pixels + 3 * x)), second = _mm_loadu_si128((const void *)(pixels + 3 * x + 12));
        __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
        OF(look_up_eight)(_mm256_shuffle_epi8(both, apart), table, out + 4 * x, next, is_aligned);
    }
    _mm_sfence(); /* the writes past the cache come before anything that follows */
    return x;
}
#endif

/* Writes a line of bytes, four for each pixel or one if grey, to a row of the result. */
TARGET static void OF(write_line)(const Job *job, const uint8_t *restrict line, uint8_t *restrict out) {
    int64_t count = job->x.count, step = job->pixel_stride, lanes = job->lanes, next = job->channel_stride, x = 0;
    const uint32_t *restrict table = job->table;
    if (table && lanes == 4 && job->channels == 3) {
#ifdef HAS_VNNI
        int is_aligned = has_aligned_planes(out, next);
        if (step == 4)
            for (; x + 8 <= count; x += 8)
                OF(look_up_eight)(_mm256_loadu_si256((const void *)(line + 4 * x)), table, out + 4 * x, next, is_aligned);
#endif
        for (; x < count; x++) {
            uint32_t pixel;
            memcpy(&pixel, line + 4 * x, 4);
            memcpy(out + x * step, table + (pixel & 255), 4);
            memcpy(out + x * step + next, table + 256 + (pixel >> 8 & 255), 4);
            memcpy(out + x * step + 2 * next, table + 512 + (pixel >> 16 & 255), 4);
        }
        return;
    }
    if (!table && next == 1 && job->channels == 4 && step == 4) {
        memcpy(out, line, count * 4);
        return;
    }
    if (!table && next == 1 && job->channels == 3) {
        /* Four pixels of three bytes at once, in order or mirrored. */
        if (step == 3 || step == -3)
            for (; x + 4 <= count; x += 4) {
                Bytes pixels;
                memcpy(&pixels, line + 4 * x, sizeof pixels);
                pixels = step > 0 ? MIXED(pixels, pixels, 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15)
                                  : MIXED(pixels, pixels, 12, 13, 14, 8, 9, 10, 4, 5, 6, 0, 1, 2, 3, 7, 11, 15);
                uint8_t *to = out + (step > 0 ? x : x + 3) * step;
                uint64_t most = ((Longs)pixels)[0];
                uint32_t last = ((Words)pixels)[2];
                memcpy(to, &most, 8);
                memcpy(to + 8, &last, 4);
            }
        for (; x < count; x++) memcpy(out + x * step, line + 4 * x, 3);
        return;
    }
    for (int64_t channel = 0; channel < job->channels; channel++) {
        uint8_t *start = out + channel * next;
        const uint8_t *from = line + channel;
        if (table)
            for (x = 0; x < count; x++) memcpy(start + x * step, table + channel * 256 + from[x * lanes], 4);
        else if (step == 1)
            for (x = 0; x < count; x++) start[x] = from[x * lanes];
        else
            for (x = 0; x < count; x++) start[x * step] = from[x * lanes];
    }
}

/* A window holds a power of 2 of row pairs, at least `least`. The mask is that number minus 1. */
#ifndef WINDOW_MASK
#define WINDOW_MASK
static int64_t window_mask(int64_t least) {
    int64_t count = 1;
    while (count < least) count *= 2;
    return count - 1;
}
#endif

TARGET static void OF(columns_first)(const Job *job) {
    int64_t strip_rows = job->lanes == 1 ? 4 * QUADS : QUADS, count = job->x.count * job->lanes;
    int64_t stride = aligned(4 * count + 4 * VECTOR_BYTES), mask = window_mask(job->y.pairs + strip_rows / 2);
    uint8_t *strip = job->memory;
    uint8_t *window = strip + ((job->right - job->left) / 2 + 2 + 2 * job->x.pairs) * QUADS * QUAD_BYTES;
    uint8_t *line = window + (mask + 1) * stride;
    int64_t made = job->y.first[0];
    for (int64_t at = 0; at < job->y.count; at++) {
        int64_t end = job->y.first[at] + 2 * job->y.pairs;
        end = end > job->height ? job->height : end;
        if (made < job->y.first[at]) made = job->y.first[at];
        for (; made < end; made += strip_rows) {
            OF(widen)(job->source + made * job->stride, job->stride, job->pixel_bytes, job->width, job->left, job->right, job->bottom - made, strip);
            OF(sum_columns)(job, strip, window, stride, made / 2, mask);
        }
        OF(sum_rows)(job, at, window, stride, mask, count, line);
        OF(write_line)(job, line, job->out + at * job->row_stride);
    }
}

TARGET static void OF(rows_first)(const Job *job) {
    int64_t strip_rows = job->lanes == 1 ? 4 * QUADS : QUADS, width = job->right - job->left, count = width * job->lanes;
    int64_t stride = aligned(4 * count + 4 * VECTOR_BYTES), mask = window_mask(job->y.pairs);
    int64_t line_stride = aligned(count + 4 * ALIGNMENT), summed_stride = aligned(4 * job->x.count * job->lanes);
    uint8_t *strip = job->memory;
    uint8_t *window = strip + (width / 2 + 2 + 2 * job->x.pairs) * QUADS * QUAD_BYTES;
    uint8_t *lines = window + (mask + 1) * stride, *summed = lines + strip_rows * line_stride;
    uint8_t *line = summed + strip_rows / 2 * summed_stride; /* last, since it may be longer than all of `lines` */
    int64_t made = job->y.first[0];
    for (int64_t top = 0; top < job->y.count; top += strip_rows) {
        int64_t rows = job->y.count - top < strip_rows ? job->y.count - top : strip_rows;
        for (int64_t row = 0; row < rows; row++) {
            int64_t end = job->y.first[top + row] + 2 * job->y.pairs;
            end = end > job->height ? job->height : end;
            if (made < job->y.first[top + row]) made = job->y.first[top + row];
            for (; made < end; made += 2) {
                const uint8_t *upper = job->source + made * job->stride + job->left * job->pixel_bytes;
                const uint8_t *lower = made + 1 < job->bottom ? upper + job->stride : upper;
                uint32_t *restrict to = (uint32_t *)(window + (made / 2 & mask) * stride);
                if (job->pixel_bytes != 3)
                    for (int64_t lane = 0; lane < count; lane++) to[lane] = upper[lane] | (uint32_t)lower[lane] << 16;
                else
                    for (int64_t lane = 0; lane < count; lane++) {
                        int64_t byte = lane / 4 * 3 + lane % 4 % 3;
                        to[lane] = upper[byte] | (uint32_t)lower[byte] << 16;
                    }
            }
            OF(sum_rows)(job, top + row, window, stride, mask, count, lines + row * line_stride);
        }
        OF(widen)(lines, line_stride, job->lanes, width, 0, width, rows, strip);
        OF(sum_columns)(job, strip, summed, summed_stride, 0, -1);
        for (int64_t row = 0; row < rows; row++) {
            const uint32_t *from = (const uint32_t *)(summed + row / 2 * summed_stride);
            for (int64_t lane = 0; lane < job->x.count * job->lanes; lane++) line[lane] = (uint8_t)(from[lane] >> 16 * (row & 1));
            OF(write_line)(job, line, job->out + (top + row) * job->row_stride);
        }
    }
}

#undef VERSION
#undef TARGET
#undef GROUPS
#undef VECTOR_BYTES
#undef VECTORS
#undef PRODUCTS
#undef ADD_PRODUCTS
#undef SPLAT
#undef ROUNDING
#undef JOINED
#ifdef HAS_VNNI
#undef HAS_VNNI
#endif
#endif
