/* A part of a JPEG, decoded by the library that Pillow itself has loaded, so that the pixels are Pillow's.

   Rows and columns outside of the part are read, since each block is coded after the one before, but nothing more is done about
   them. The library is libjpeg-turbo (https://libjpeg-turbo.org) with the interface of libjpeg 6b; its structures are declared here
   as in its jpeglib.h as far as they are used, so that nothing but a compiler is needed. It checks their size itself. */

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { VERSION_62 = 62, GREY = 1, RGBX = 7, ROWS_AT_ONCE = 8 };
enum { DECODED, NOT_DECODED };

typedef struct Jpeg Jpeg;

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
    void *src;
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
    char more[512]; /* the library's own */
};

/* The functions of the library, by their names without "jpeg_". */
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

typedef struct {
    Errors errors; /* first, so that a pointer to it is one to this */
    jmp_buf back;
} Trap;

static void stop(Jpeg *jpeg) { longjmp(((Trap *)jpeg->err)->back, 1); }

/* A warning is about damage, which Pillow shall see. */
static void stop_at_warning(Jpeg *jpeg, int level) {
    if (level < 0) stop(jpeg);
}

/* Decode the rows from `top` up to `bottom`, and at least the columns from `*left` up to `*right`, which are then those that there are, of the
   image whose sides are divided by `scale`: to `out`, which has room for one row more. Returns DECODED, or NOT_DECODED if the file has any fault. */
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
        return NOT_DECODED;
    }
    library->CreateDecompress(&jpeg, VERSION_62, size);
    library->mem_src(&jpeg, data, length);
    library->read_header(&jpeg, 1);
    jpeg.scale_num = 1;
    jpeg.scale_denom = scale;
    jpeg.out_color_space = channels == 1 ? GREY : RGBX;
    library->start_decompress(&jpeg);
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
    /* What follows may be damaged. To skip the last row would end all reading. */
    if (bottom < jpeg.output_height) {
        uint8_t *unused = out + (int64_t)(bottom - top) * width * channels;
        if (bottom + 1 < jpeg.output_height) library->skip_scanlines(&jpeg, jpeg.output_height - 1 - bottom);
        library->read_scanlines(&jpeg, &unused, 1);
    }
    library->finish_decompress(&jpeg);
    library->destroy_decompress(&jpeg);
    return DECODED;
}
