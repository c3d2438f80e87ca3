// Calls of the kernels by name, with arguments as `cuLaunchKernel` takes them: for the tests, after the kernels.

template <class... Arguments, std::size_t... At>
static void call(void (*kernel)(Arguments...), void **arguments, std::index_sequence<At...>) {
    kernel(*static_cast<Arguments *>(arguments[At])...);
}

// Every block of `rows` warps.
template <class... Arguments>
static void run(void (*kernel)(Arguments...), void **arguments, unsigned blocks, unsigned rows) {
    blockDim = {LANES, rows};
    auto lane = [=](unsigned x) {
        for (unsigned y = 0; y < rows; y++) {
            threadIdx = {x, y};
            call(kernel, arguments, std::index_sequence_for<Arguments...>());
        }
    };
    for (unsigned block = 0; block < blocks; block++) {
        blockIdx = {block, 0};
        std::vector<std::thread> others;
        for (unsigned x = 1; x < LANES; x++) {
            others.emplace_back(lane, x);
        }
        lane(0);
        for (auto &other : others) {
            other.join();
        }
    }
}

// 0, or 1 where there is no such kernel.
extern "C" int launch(const char *name, void **arguments, unsigned blocks, unsigned rows) {
#define NAMED(kernel)                                                                                                                        \
    if (std::strcmp(name, #kernel) == 0) {                                                                                                  \
        run(kernel, arguments, blocks, rows);                                                                                               \
        return 0;                                                                                                                           \
    }
    NAMED(normalise)
    NAMED(softmax)
    NAMED(patches)
    NAMED(repeat)
    NAMED(activate)
    NAMED(convert)
    NAMED(gather)
    NAMED(first_query)
    NAMED(mean_of_heads)
    NAMED(values_of_heads)
    return 1;
}
