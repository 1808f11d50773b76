/* The interface of libjpeg 6b as libjpeg-turbo has it (https://libjpeg-turbo.org). The structures
   are those of its jpeglib.h as far as they are used here, so that a build needs nothing but a
   compiler. The library itself checks the size of the largest. */

#ifndef RAYBATCH_LIBJPEG_H
#define RAYBATCH_LIBJPEG_H

#include <stddef.h>
#include <stdint.h>

typedef struct Jpeg Jpeg;
typedef int16_t Block[64]; /* coefficients, in rows of 8 */

/* The number of codes of each length, from 1 bit up, and their symbols, those of the shortest codes
   first (ITU-T T.81, B.2.4.2). */
typedef struct {
    uint8_t counts[17], symbols[256];
    int is_sent;
} HuffmanCode;

typedef struct {
    int id, index, h_samp_factor, v_samp_factor, quantization, dc_code, ac_code;
    unsigned width_in_blocks, height_in_blocks;
    int scaled_size; /* of a block, in pixels */
} Component; /* only the first members */

typedef struct {
    void (*start_pass)(Jpeg *);
    int (*decode_mcu)(Jpeg *, Block **);
} EntropyDecoder; /* only the first members; from jpegint.h */

typedef struct {
    const uint8_t *next;
    size_t length;
} Source; /* only the first members */

typedef struct {
    void (*error_exit)(Jpeg *);
    void (*emit_message)(Jpeg *, int level);
    void (*output_message)(Jpeg *);
    void (*format_message)(Jpeg *, char *);
    void (*reset_error_mgr)(Jpeg *);
    int msg_code;
    union {
        int numbers[8];
        char text[80];
    } msg_parm;
    int trace_level;
    long num_warnings;
    const char *const *jpeg_message_table;
    int last_jpeg_message;
    const char *const *addon_message_table;
    int first_addon_message, last_addon_message;
} Errors;

struct Jpeg {
    Errors *err;
    void *mem, *progress, *client_data;
    int is_decompressor, global_state;
    Source *src;
    unsigned image_width, image_height;
    int num_components, jpeg_color_space, out_color_space;
    unsigned scale_num, scale_denom;
    double output_gamma;
    int buffered_image, raw_data_out, dct_method, do_fancy_upsampling, do_block_smoothing, quantize_colors, dither_mode,
        two_pass_quantize, desired_number_of_colors, enable_1pass_quant, enable_external_quant, enable_2pass_quant;
    unsigned output_width, output_height;
    int out_color_components, output_components, rec_outbuf_height, actual_number_of_colors;
    uint8_t **colormap;
    unsigned output_scanline;
    int input_scan_number;
    unsigned input_row;
    int output_scan_number;
    unsigned output_row;
    void *coef_bits, *quantization[4];
    const HuffmanCode *dc_codes[4], *ac_codes[4];
    int data_precision;
    void *components;
    int is_progressive, is_arithmetic;
    uint8_t arithmetic[48];
    unsigned restart_interval;
    int saw_jfif;
    uint8_t jfif[3];
    uint16_t densities[2];
    int saw_adobe;
    uint8_t adobe_transform;
    int ccir601;
    void *markers;
    int max_h_samp_factor, max_v_samp_factor, min_scaled_size;
    unsigned total_rows;
    void *range_limit;
    int components_in_scan;
    const Component *scanned[4];
    unsigned mcus_per_row, mcu_rows;
    int blocks_in_mcu, component_of_block[10], spectrum[4], unread_marker;
    void *master, *main, *coefficients, *post, *input, *marker;
    EntropyDecoder *entropy;
    void *idct, *upsample, *conversion, *quantizer;
};

/* The functions of the library, named without "jpeg_". */
typedef struct {
    Errors *(*std_error)(Errors *);
    void (*CreateDecompress)(Jpeg *, int version, size_t size);
    void (*mem_src)(Jpeg *, const uint8_t *data, unsigned long length);
    int (*read_header)(Jpeg *, int require_image);
    int (*start_decompress)(Jpeg *);
    void (*crop_scanline)(Jpeg *, unsigned *left, unsigned *width);
    unsigned (*skip_scanlines)(Jpeg *, unsigned count);
    unsigned (*read_scanlines)(Jpeg *, uint8_t **rows, unsigned count);
    int (*finish_decompress)(Jpeg *);
    void (*destroy_decompress)(Jpeg *);
} Library;

#endif
