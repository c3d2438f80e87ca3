// Pixels `[images, 3, side, side]` to a row `[3, patch, patch]` for every token, that of the class token zero.
KERNEL patches(const float *pixels, float *to, Count rows, int side, int patch) {
    Count row = row_of_warp();
    if (row >= rows) {
        return;
    }
    int grid = side / patch, width = 3 * patch * patch, tokens = grid * grid + 1;
    int token = (int)(row % tokens) - 1;
    const float *image = pixels + row / tokens * 3 * side * side;
    for (int at = threadIdx.x; at < width; at += LANES) {
        int channel = at / (patch * patch);
        int y = token / grid * patch + at / patch % patch, x = token % grid * patch + at % patch;
        to[row * width + at] = token < 0 ? 0.0f : image[(channel * side + y) * side + x];
    }
}

// The same `period` rows again and again.
KERNEL repeat(const float *from, float *to, Count rows, int width, int period) {
    Count row = row_of_warp();
    if (row >= rows) {
        return;
    }
    for (int at = threadIdx.x; at < width; at += LANES) {
        to[row * width + at] = from[row % period * width + at];
    }
}

// Attention of each image's first query: of `[heads, images, queries, distance]` to `[images, heads, tokens]`, a row for each head of each
// image.
KERNEL first_query(const float *scores, float *to, Count rows, int heads, int queries, int tokens, int distance) {
    Count row = row_of_warp();
    if (row >= rows) {
        return;
    }
    Count images = rows / heads, image = row / heads, head = row % heads;
    for (int at = threadIdx.x; at < tokens; at += LANES) {
        to[row * tokens + at] = scores[(head * images + image) * queries * distance + at];
    }
}

// Attention averaged over the heads: of `[heads, images, queries, distance]` to `[images, queries, tokens]`, a row for each query of each
// image.
KERNEL mean_of_heads(const float *scores, float *to, Count rows, int heads, int tokens, int distance) {
    Count row = row_of_warp();
    if (row >= rows) {
        return;
    }
    for (int at = threadIdx.x; at < tokens; at += LANES) {
        float sum = 0.0f;
        for (int head = 0; head < heads; head++) {
            sum += scores[(head * rows + row) * distance + at];
        }
        to[row * tokens + at] = sum / heads;
    }
}

// Values of every head: of `[images, tokens, 3 · heads · width]` to `[images, heads, tokens, width]`, a row for each token of each head of
// each image.
KERNEL values_of_heads(const float *projected, float *to, Count rows, int heads, int tokens, int width) {
    Count row = row_of_warp();
    if (row >= rows) {
        return;
    }
    Count token = row % tokens, head = row / tokens % heads, image = row / tokens / heads;
    const float *value = projected + ((image * tokens + token) * 3 + 2) * heads * width + head * width;
    for (int at = threadIdx.x; at < width; at += LANES) {
        to[row * width + at] = value[at];
    }
}
