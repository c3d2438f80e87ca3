// LayerNorm: rows of `width` values, `distance` apart, to rows one after the other.
KERNEL normalise(const float *from, void *to, const float *weight, const float *bias, Count rows, int width, Count distance,
                 float epsilon, int format) {
    Count row = row_of_warp();
    if (row >= rows) {
        return;
    }
    const float *input = from + row * distance;
    float sum = 0.0f;
    for (int at = threadIdx.x; at < width; at += LANES) {
        sum += input[at];
    }
    float mean = sum_of_lanes(sum) / width;
    float squares = 0.0f;
    for (int at = threadIdx.x; at < width; at += LANES) {
        squares += (input[at] - mean) * (input[at] - mean);
    }
    float scale = 1.0f / sqrtf(sum_of_lanes(squares) / width + epsilon);
    for (int at = threadIdx.x; at < width; at += LANES) {
        store(to, row * width + at, (input[at] - mean) * (scale * weight[at]) + bias[at], format);
    }
}

// Softmax in place of rows of `tokens` scores, `distance` apart.
KERNEL softmax(float *scores, Count rows, int tokens, int distance) {
    Count row = row_of_warp();
    if (row >= rows) {
        return;
    }
    float *score = scores + row * distance;
    // A NaN may get lost among the maxima; the exponentials carry it into the sum, and the sum into the whole row.
    float largest = of_bits(0xff800000u);
    for (int at = threadIdx.x; at < tokens; at += LANES) {
        largest = fmaxf(largest, score[at]);
    }
    largest = largest_of_lanes(largest);
    float sum = 0.0f;
    for (int at = threadIdx.x; at < tokens; at += LANES) {
        score[at] = expf(score[at] - largest);
        sum += score[at];
    }
    float factor = 1.0f / sum_of_lanes(sum);
    for (int at = threadIdx.x; at < tokens; at += LANES) {
        score[at] *= factor;
    }
}

// Bias and GELU, or QuickGELU.
KERNEL activate(const float *from, const float *bias, void *to, Count rows, int width, int quick, int format) {
    Count row = row_of_warp();
    if (row >= rows) {
        return;
    }
    for (int at = threadIdx.x; at < width; at += LANES) {
        float x = from[row * width + at] + bias[at];
        float y = quick ? x / (1.0f + expf(-1.702f * x)) : 0.5f * x * (1.0f + erff(x * 0.70710678f));
        store(to, row * width + at, y, format);
    }
}

// Rounds.
KERNEL convert(const float *from, void *to, Count rows, int width, int format) {
    Count row = row_of_warp();
    if (row >= rows) {
        return;
    }
    for (int at = threadIdx.x; at < width; at += LANES) {
        store(to, row * width + at, from[row * width + at], format);
    }
}

// Rows of `width` values, `distance` apart, to rows one after the other: the class tokens.
KERNEL gather(const void *from, void *to, Count rows, int width, Count distance, int format) {
    Count row = row_of_warp();
    if (row >= rows) {
        return;
    }
    for (int at = threadIdx.x; at < width; at += LANES) {
        store(to, row * width + at, load(from, row * distance + at, format), format);
    }
}
