// cuBLASLt, imitated by its documentation: products of columns in main memory. build.sh puts host.h and the kernels' source before this, for
// the conversions.

#include <cstdint>
#include <functional>

typedef int Status;
enum { SUCCESS = 0, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };
enum { R_32F = 0, R_16F = 2, R_16BF = 14 };

#define API extern "C" __attribute__((visibility("default"))) Status

extern "C" bool imitated_put(void *stream, std::function<void()> work);

struct Product {
    int32_t transposes_a = 0, transposes_b = 0;
    uint32_t epilogue = 1;
    const float *bias = nullptr;
};

struct Layout {
    int type;
    uint64_t rows, columns;
    int64_t leading;
    int32_t count = 1;
    int64_t distance = 0;

    float at(const void *values, int64_t matrix, uint64_t row, uint64_t column) const {
        int format = type == R_16F ? FLOAT16 : type == R_16BF ? BFLOAT16 : FLOAT32;
        return load(values, index(matrix, row, column), format);
    }

    int64_t index(int64_t matrix, uint64_t row, uint64_t column) const {
        return matrix * distance + column * leading + row;
    }
};

struct Preference {
    uint64_t workspace = 0;
    uint32_t alignments[4] = {256, 256, 256, 256};
};

struct Heuristic {
    uint64_t algorithm[8];
    size_t workspace;
    Status state;
    float waves;
    int reserved[4];
};

template <class T>
static Status take(T &to, const void *from, size_t bytes) {
    if (bytes != sizeof(T)) {
        return INVALID_VALUE;
    }
    std::memcpy(&to, from, bytes);
    return SUCCESS;
}

extern "C" __attribute__((visibility("default"))) size_t cublasLtGetVersion() {
    return 130200;
}

API cublasLtCreate(void **handle) {
    *handle = new int;
    return SUCCESS;
}

API cublasLtDestroy(void *handle) {
    delete (int *)handle;
    return SUCCESS;
}

// CUBLAS_COMPUTE_32F is 68; scales are float32.
API cublasLtMatmulDescCreate(void **made, int compute, int scale) {
    *made = new Product;
    return compute == 68 && scale == R_32F ? SUCCESS : NOT_SUPPORTED;
}

API cublasLtMatmulDescDestroy(void *made) {
    delete (Product *)made;
    return SUCCESS;
}

API cublasLtMatmulDescSetAttribute(void *made, int attribute, const void *value, size_t bytes) {
    auto product = (Product *)made;
    switch (attribute) {
    case 3:
        return take(product->transposes_a, value, bytes);
    case 4:
        return take(product->transposes_b, value, bytes);
    case 7:
        return take(product->epilogue, value, bytes);
    case 8:
        return take(product->bias, value, bytes);
    default:
        return NOT_SUPPORTED;
    }
}

API cublasLtMatrixLayoutCreate(void **made, int type, uint64_t rows, uint64_t columns, int64_t leading) {
    *made = new Layout{type, rows, columns, leading};
    return leading >= (int64_t)rows ? SUCCESS : INVALID_VALUE;
}

API cublasLtMatrixLayoutDestroy(void *made) {
    delete (Layout *)made;
    return SUCCESS;
}

API cublasLtMatrixLayoutSetAttribute(void *made, int attribute, const void *value, size_t bytes) {
    auto layout = (Layout *)made;
    switch (attribute) {
    case 5:
        return take(layout->count, value, bytes);
    case 6:
        return take(layout->distance, value, bytes);
    default:
        return NOT_SUPPORTED;
    }
}

API cublasLtMatmulPreferenceCreate(void **made) {
    *made = new Preference;
    return SUCCESS;
}

API cublasLtMatmulPreferenceDestroy(void *made) {
    delete (Preference *)made;
    return SUCCESS;
}

API cublasLtMatmulPreferenceSetAttribute(void *made, int attribute, const void *value, size_t bytes) {
    auto preference = (Preference *)made;
    if (attribute == 1) {
        return take(preference->workspace, value, bytes);
    }
    if (attribute < 5 || attribute > 8) {
        return NOT_SUPPORTED;
    }
    return take(preference->alignments[attribute - 5], value, bytes);
}

// The algorithm holds what it was chosen for: the alignments, and what the product needs to be. A call that is anything else is refused.
API cublasLtMatmulAlgoGetHeuristic(void *, void *made, void *a_made, void *b_made, void *c_made, void *d_made, void *preferred, int wanted,
                                   Heuristic *found, int *count) {
    auto product = (Product *)made;
    auto a = (Layout *)a_made, b = (Layout *)b_made, c = (Layout *)c_made, d = (Layout *)d_made;
    auto preference = (Preference *)preferred;
    uint64_t rows = product->transposes_a ? a->columns : a->rows, depth = product->transposes_a ? a->rows : a->columns;
    bool fits = rows == c->rows && depth == b->rows && b->columns == c->columns && c->rows == d->rows && c->columns == d->columns;
    bool is_known = !product->transposes_b && (product->epilogue == 1 || product->epilogue == 4) && a->type == b->type && c->type == R_32F &&
                    d->type == R_32F && a->count == c->count && b->count == c->count;
    *count = 0;
    if (wanted < 1 || !fits || !is_known) {
        return NOT_SUPPORTED;
    }
    *count = 1;
    *found = Heuristic{};
    for (int side = 0; side < 4; side++) {
        found->algorithm[side] = preference->alignments[side];
    }
    return SUCCESS;
}

API cublasLtMatmul(void *, void *made, const float *alpha, const void *a, void *a_made, const void *b, void *b_made, const float *beta,
                   const void *c, void *c_made, void *d, void *d_made, const uint64_t *algorithm, void *workspace, size_t bytes, void *stream) {
    const void *sides[] = {a, b, c, d};
    for (int side = 0; side < 4; side++) {
        if ((uintptr_t)sides[side] % algorithm[side] != 0) {
            return INVALID_VALUE;
        }
    }
    if (workspace == nullptr || bytes == 0) {
        return INVALID_VALUE;
    }
    Product product = *(Product *)made;
    Layout of_a = *(Layout *)a_made, of_b = *(Layout *)b_made, of_c = *(Layout *)c_made, of_d = *(Layout *)d_made;
    float by = *alpha, add = *beta;
    auto work = [=] {
        for (int64_t matrix = 0; matrix < of_d.count; matrix++) {
            for (uint64_t column = 0; column < of_d.columns; column++) {
                for (uint64_t row = 0; row < of_d.rows; row++) {
                    double sum = 0.0;
                    for (uint64_t k = 0; k < of_b.rows; k++) {
                        float left = product.transposes_a ? of_a.at(a, matrix, k, row) : of_a.at(a, matrix, row, k);
                        sum += (double)left * of_b.at(b, matrix, k, column);
                    }
                    sum *= by;
                    if (add != 0.0f) {
                        sum += (double)add * of_c.at(c, matrix, row, column);
                    }
                    if (product.epilogue == 4) {
                        sum += product.bias[row];
                    }
                    ((float *)d)[of_d.index(matrix, row, column)] = (float)sum;
                }
            }
        }
    };
    return imitated_put(stream, work) ? SUCCESS : INVALID_VALUE;
}
