/* Reads the coefficients of a JPEG's blocks from its bits (ITU-T T.81, F.2.2). It replaces
   libjpeg-turbo's decode_mcu, which takes two thirds of the time of decoding a whole image.

   Where a code begins depends on the length of the code before it, and a mispredicted branch costs
   as much as three codes. So one lookup of the next bits gives two values if both are short. Bits
   are fetched eight bytes at a time, without a branch (F. Giesen, "Reading bits in far too many
   ways", 2018, variant 4). For that, the zeros that are stuffed after bytes of 0xFF are removed
   first. One branch tells whether a block goes on. If anything in the file is invalid, this code
   gives up, and the file is decoded by other code. */

#include "jpeg_entropy.h"

#include <stdlib.h>
#include <string.h>

#define INLINE inline __attribute__((always_inline))

enum { LAST = 63, LONGEST_CODE = 16, LONGEST_DC = 11, LONGEST_AC = 10, END_OF_BLOCK = 0, SIXTEEN_ZEROS = 0xF0 };
/* The number of bits that are looked up for one value, and for two. */
enum { LOOKED_AT = 9, LOOKED_AT_FOR_TWO = 10 };
/* Steps that lead out of a block: at its end, and if the bits looked up are not enough. No run of
   zeros gives such a large step. */
enum { TO_END = 128, NOT_ENOUGH = 64 };
/* The most bytes of a unit: 10 blocks of 64 coefficients of up to 4 bytes, and 8 that are read at
   once. This much may be read past the end of the data before the end is noticed. */
enum { MOST_OF_A_UNIT = 10 * 64 * 4 + 8 };

/* The place in a block of the n-th coefficient in zigzag order (T.81, figure A.6). */
static const uint8_t PLACES[64] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
};

/* ---- Codes ---- */

/* The meaning of a code: a value of some bits, after a run of zeros. */
typedef struct {
    uint8_t bits; /* of the code and its value; 0 if there is no such code among the bits looked up */
    uint8_t size; /* of the value, in bits */
    uint8_t step; /* from the place of the value before to the place of this one, in zigzag order */
} Entry;

/* One value or two. If there is only one, the second repeats its place and value. */
typedef struct {
    int16_t first, second;
    uint8_t first_step, second_step, first_bits, bits;
} Pair;

typedef struct {
    HuffmanCode of;
    int is_usable;
    Pair pairs[1 << LOOKED_AT_FOR_TWO];
    Entry looked_up[1 << LOOKED_AT], entries[256]; /* by the next bits; by the number of the code */
    uint64_t limit[LONGEST_CODE + 1];              /* all codes of a length are below it, aligned to the left in 64 bits */
    int shift[LONGEST_CODE + 1];                   /* added to a code, it gives the number of the code */
} Codes;

/* Kept, because most files have the same codes as the file before. */
static _Thread_local Codes dc_codes[4], ac_codes[4];

/* Returns the value that the `size` bits `bits` encode (T.81, figure F.12). */
static INLINE int extended(int bits, int size) {
    int half = 1 << size >> 1;
    return bits + ((bits - half) >> 31 & (1 - 2 * half)) * (size > 0);
}

static Entry entry_of(int symbol, int length, int is_dc) {
    int size = symbol & 15, step = is_dc ? 0 : symbol == END_OF_BLOCK ? TO_END : (symbol >> 4) + 1;
    return (Entry){length + size, size, step};
}

/* Fills in the entries of the code. Returns whether the standard allows the code. */
static int has_entries(Codes *codes, int is_dc) {
    for (int number = 0; number < 1 << LOOKED_AT; number++) codes->looked_up[number] = (Entry){0, 0, NOT_ENOUGH};
    unsigned next = 0, number = 0;
    for (int length = 1; length <= LONGEST_CODE; length++, next <<= 1) {
        codes->shift[length] = (int)number - (int)next;
        for (int count = codes->of.counts[length]; count; count--, next++, number++) {
            int symbol = codes->of.symbols[number & 255], size = symbol & 15;
            if (number > 255 || next + 1 >= 1u << length) return 0; /* a code of only ones is not allowed */
            if (is_dc ? symbol > LONGEST_DC : size > LONGEST_AC || (!size && symbol != END_OF_BLOCK && symbol != SIXTEEN_ZEROS)) return 0;
            Entry entry = codes->entries[number] = entry_of(symbol, length, is_dc);
            if (length > LOOKED_AT) continue;
            int rest = LOOKED_AT - length;
            for (unsigned more = 0; more < 1u << rest; more++) codes->looked_up[next << rest | more] = entry;
        }
        codes->limit[length] = (uint64_t)next << (64 - length);
    }
    return 1;
}

/* Takes a code and its value off the `*count` bits `*bits`. If these do not hold both, returns an
   entry of 0 bits. */
static Entry taken(const Codes *codes, unsigned *bits, int *count, int *value) {
    unsigned looked_at = *bits << (LOOKED_AT_FOR_TWO - *count) >> (LOOKED_AT_FOR_TWO - LOOKED_AT);
    Entry entry = codes->looked_up[looked_at];
    if (!entry.bits || entry.bits > *count) return (Entry){0, 0, NOT_ENOUGH};
    *count -= entry.bits;
    *value = extended(*bits >> *count & ((1 << entry.size) - 1), entry.size);
    *bits &= (1u << *count) - 1;
    return entry;
}

static void make_pairs(Codes *codes) {
    for (unsigned number = 0; number < 1 << LOOKED_AT_FOR_TWO; number++) {
        unsigned bits = number;
        int count = LOOKED_AT_FOR_TWO, value = 0;
        Entry first = taken(codes, &bits, &count, &value);
        Pair *pair = &codes->pairs[number];
        *pair = (Pair){value, value, first.step, 0, first.bits, first.bits};
        if (first.step > 63) continue;
        Entry second = taken(codes, &bits, &count, &value);
        if (!second.bits) continue;
        pair->second = value;
        pair->second_step = second.step;
        pair->bits += second.bits;
    }
}

/* Fills `codes` from `code`, unless they already belong to it. Returns whether the standard allows the code. */
static int prepare(Codes *codes, const HuffmanCode *code, int is_dc) {
    if (memcmp(&codes->of, code, offsetof(HuffmanCode, is_sent))) {
        codes->of = *code;
        codes->is_usable = has_entries(codes, is_dc);
        if (codes->is_usable && !is_dc) make_pairs(codes);
    }
    return codes->is_usable;
}

/* ---- Bits ---- */

/* `bits` begins with the next bit and holds `count` bits. `at` is where the bytes after these
   begin, and `end` is where a marker ends them. */
typedef struct {
    uint64_t bits;
    int64_t count;
    const uint8_t *at, *end;
} Reader;

/* Lets `reader` read the data up to the next marker. `jpeg` then reads the marker next. */
static void read_up_to_marker(Reader *reader, Jpeg *jpeg, uint8_t *memory) {
    const uint8_t *from = jpeg->src->next, *end = from + jpeg->src->length;
    uint8_t *to = memory;
    while (from < end) {
        const uint8_t *stop = memchr(from, 0xFF, end - from);
        size_t length = (stop ? stop : end) - from;
        memcpy(to, from, length);
        to += length;
        from += length;
        if (end - from < 2 || from[1]) break;
        *to++ = 0xFF;
        from += 2;
    }
    memset(to, 0, MOST_OF_A_UNIT);
    *reader = (Reader){0, 0, memory, to};
    jpeg->src->next = from;
    jpeg->src->length = end - from;
}

/* Returns the number of bits left before the marker; negative if more have been taken. */
static int64_t left(const Reader *reader) { return (reader->end - reader->at) * 8 + reader->count; }

/* Fills `bits` to 56 bits or more. The bits beyond `count` are right too, so they can be fetched
   again. */
static INLINE void fill(Reader *reader) {
    uint64_t next;
    memcpy(&next, reader->at, 8);
    if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) next = __builtin_bswap64(next);
    reader->bits |= next >> reader->count;
    reader->at += (63 - reader->count) >> 3;
    reader->count |= 56;
}

static INLINE void drop(Reader *reader, int count) {
    reader->bits <<= count & 63;
    reader->count -= count;
}

/* Takes a code and its value, of at most LONGEST_CODE and LONGEST_DC bits. */
static INLINE Entry next_entry(Reader *reader, const Codes *codes, int *value) {
    Entry entry = codes->looked_up[reader->bits >> (64 - LOOKED_AT)];
    for (int length = LOOKED_AT + 1; !entry.bits && length <= LONGEST_CODE; length++)
        if (reader->bits < codes->limit[length]) entry = codes->entries[((int)(reader->bits >> (64 - length)) + codes->shift[length]) & 255];
    *value = extended(reader->bits >> (-entry.bits & 63) & ((1 << entry.size) - 1), entry.size);
    drop(reader, entry.bits);
    return entry;
}

/* ---- Blocks ---- */

/* Takes one or two values of `block` after the value at `place`. Returns the place of the last one,
   LAST if the block ends, or more than LAST if the block is invalid. */
static INLINE int next_place(Reader *reader, const Codes *ac, int place, int16_t *block) {
    const Pair *pair = &ac->pairs[reader->bits >> (64 - LOOKED_AT_FOR_TWO)];
    int first = place + pair->first_step, second = first + pair->second_step, value;
    if (first > LAST) {
        if (pair->bits) {
            drop(reader, pair->bits);
            return first >= TO_END ? LAST : first;
        }
        place += next_entry(reader, ac, &value).step;
        if (place > LAST) return place >= TO_END ? LAST : place;
        block[PLACES[place]] = value;
        return place;
    }
    block[PLACES[first]] = pair->first;
    if (second > LAST) {
        /* After the last place, what looks like a second value belongs to the next block. */
        drop(reader, first == LAST ? pair->first_bits : pair->bits);
        return first == LAST || second >= TO_END ? LAST : second;
    }
    block[PLACES[second]] = pair->second;
    drop(reader, pair->bits);
    return second;
}

/* Reads a block into `block`, whose coefficients are 0. Returns whether the block is valid. */
static INLINE int read_block(Reader *reader, const Codes *dc, const Codes *ac, int *last_dc, int16_t *block) {
    int place = 0, value;
    fill(reader);
    if (!next_entry(reader, dc, &value).bits) return 0;
    *last_dc += value;
    block[0] = *last_dc;
    if (*last_dc != block[0]) return 0;
    /* 56 bits hold two of the longest codes with their values. */
    for (;;) {
        if ((place = next_place(reader, ac, place, block)) >= LAST) break;
        fill(reader);
        if ((place = next_place(reader, ac, place, block)) >= LAST) break;
    }
    return place == LAST;
}

struct Entropy {
    Reader reader;
    const Codes *dc[4], *ac[4]; /* by the number of the component in the scan */
    int last_dc[4], restarts;
    unsigned until_restart;
    int64_t to_come; /* units of blocks that are left */
    int (*read_unit)(Jpeg *, Entropy *, Block **);
    uint8_t memory[];
};

static INLINE int read_unit(Jpeg *jpeg, Entropy *entropy, Block **blocks) {
    Reader reader = entropy->reader;
    Block unused;
    int is_sound = 1;
    for (int number = 0; number < jpeg->blocks_in_mcu; number++) {
        int component = jpeg->component_of_block[number];
        int16_t *block = blocks ? *blocks[number] : unused;
        is_sound &= read_block(&reader, entropy->dc[component], entropy->ac[component], &entropy->last_dc[component], block);
    }
    entropy->reader = reader;
    return is_sound && left(&reader) >= 0;
}

static int read_unit_anywhere(Jpeg *jpeg, Entropy *entropy, Block **blocks) { return read_unit(jpeg, entropy, blocks); }

#if defined(__x86_64__) && defined(__GNUC__)
/* A shift by a variable number of bits takes one instruction with BMI2, and three without. */
__attribute__((target("bmi2"))) static int read_unit_bmi2(Jpeg *jpeg, Entropy *entropy, Block **blocks) {
    return read_unit(jpeg, entropy, blocks);
}

static int has_bmi2(void) { return __builtin_cpu_supports("bmi2"); }
#else
#define read_unit_bmi2 read_unit_anywhere
static int has_bmi2(void) { return 0; }
#endif

/* ---- Scans ---- */

/* Returns whether the restart marker that is due is there. After it, everything begins anew (T.81,
   E.2.4). */
static int restarted(Jpeg *jpeg, Entropy *entropy) {
    Source *source = jpeg->src;
    if (left(&entropy->reader) >= 8 || source->length < 2 || source->next[1] != 0xD0 + entropy->restarts % 8) return 0;
    source->next += 2;
    source->length -= 2;
    read_up_to_marker(&entropy->reader, jpeg, entropy->memory);
    memset(entropy->last_dc, 0, sizeof entropy->last_dc);
    entropy->restarts++;
    entropy->until_restart = jpeg->restart_interval;
    return 1;
}

static int decode_mcu(Jpeg *jpeg, Block **blocks) {
    Entropy *entropy = jpeg->client_data;
    int is_sound = !jpeg->restart_interval || entropy->until_restart || restarted(jpeg, entropy);
    is_sound = is_sound && entropy->read_unit(jpeg, entropy, blocks);
    entropy->until_restart--;
    entropy->to_come--;
    if (!is_sound || (!entropy->to_come && left(&entropy->reader) >= 8)) jpeg->err->error_exit(jpeg);
    return 1;
}

Entropy *use_own_entropy(Jpeg *jpeg) {
    if (jpeg->is_progressive || jpeg->is_arithmetic || jpeg->components_in_scan != jpeg->num_components) return NULL;
    Entropy *entropy = malloc(sizeof *entropy + jpeg->src->length + MOST_OF_A_UNIT);
    if (!entropy) return NULL;
    memset(entropy, 0, sizeof *entropy);
    int is_usable = 1;
    for (int number = 0; number < jpeg->components_in_scan; number++) {
        int dc = jpeg->scanned[number]->dc_code, ac = jpeg->scanned[number]->ac_code;
        is_usable &= prepare(&dc_codes[dc], jpeg->dc_codes[dc], 1) && prepare(&ac_codes[ac], jpeg->ac_codes[ac], 0);
        entropy->dc[number] = &dc_codes[dc];
        entropy->ac[number] = &ac_codes[ac];
    }
    if (!is_usable) {
        free(entropy);
        return NULL;
    }
    read_up_to_marker(&entropy->reader, jpeg, entropy->memory);
    entropy->until_restart = jpeg->restart_interval;
    entropy->to_come = (int64_t)jpeg->mcus_per_row * jpeg->mcu_rows;
    entropy->read_unit = has_bmi2() ? read_unit_bmi2 : read_unit_anywhere;
    jpeg->client_data = entropy;
    jpeg->entropy->decode_mcu = decode_mcu;
    return entropy;
}

void end_of_entropy(Entropy *entropy) { free(entropy); }
