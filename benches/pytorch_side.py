"""PyTorch's side of the benches, a process of its own: answers each line of words on standard input with seconds or figures.

    python3 benches/pytorch_side.py MODE SOURCE THREADS

| mode | source | line | answer |
|---|---|---|---|
| eager, compiled, bfloat16 | checkpoint | `pass IMAGES BATCH` | seconds of plain `encode_image` |
| onnx-runtime, openvino, openvino-bfloat16 | checkpoint | `pass IMAGES BATCH` | the same by another library, on the tower that PyTorch exports |
| cuda-eager, cuda-tf32, cuda-float16, cuda-bfloat16, cuda-compiled, cuda-compiled-tf32, cuda-compiled-float16 | checkpoint | `pass IMAGES BATCH` | the same on a GPU, transfers of pixels and features included; `there` answers 1, if PyTorch sees one |
| all-queries, class-query, heads | checkpoint | `pass IMAGES BATCH` | seconds of a dense decomposition: all-queries of all layers, the others of the last four |
| ... all-queries | | `blocks COUNT` | from here on passes end after so many blocks; answers how many there are |
| ... | | `expect PIXELS OUT IMAGES LAYERS` | writes random pixels, unless they are there, and the heads' contributions |
| ... | | `differ ONE OTHER` | largest difference of two such files, over the largest value |
| pillow, torchvision | folder | `all` | seconds over all its files to normalised pixels |
| texts | checkpoint | `texts FILE BATCH` | seconds of `encode_text` over the file's lines, OpenCLIP's tokens included |
| ... | | `features FILE BATCH OUT` | the same, and writes the features |
| product | - | `product N` | seconds of one `torch.mm` of N × N in float32 |
| textspan | - | `loop IMAGES D TEXTS ITERATIONS` | seconds of the SVD, seconds an iteration |
"""

import io
import json
import pathlib
import sys
import tempfile
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tools/reference"))

# Of the decomposition, as headspan's pass keeps them.
LAST_LAYERS = 4
MEAN, STD, SIDE = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711], 224


def tower(source):
    """The image tower; `encode_image` is its call, and the text tower would only fill memory."""
    from make_cases import build
    from safetensors import safe_open

    config = json.loads((pathlib.Path(source) / "open_clip_config.json").read_text())
    with torch.device("meta"):  # numbers that are replaced at once need not be drawn
        visual = build(config).visual
    with safe_open(pathlib.Path(source) / "open_clip_model.safetensors", "pt") as weights:
        own = {name.removeprefix("visual."): weights.get_tensor(name).clone() for name in weights.keys() if name.startswith("visual.")}
    visual.load_state_dict(own, assign=True)
    return visual.eval().requires_grad_(False)


def timed(work):
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


class Passes:
    """A function over batches of pixels."""

    def __init__(self, function):
        self.function = function
        self.pixels = {}

    def answer(self, what, images, batch):
        assert what == "pass"
        if images not in self.pixels:
            self.pixels = {images: self.draw(int(images))}
        return timed(lambda: [self.function(part) for part in self.pixels[images].split(int(batch))])


    def draw(self, images):
        return torch.randn(images, 3, SIDE, SIDE)


class Encode(Passes):
    def __init__(self, mode, source):
        visual = tower(source)
        if mode == "bfloat16":
            visual = visual.bfloat16()
            super().__init__(lambda pixels: visual(pixels.bfloat16()))
        else:
            super().__init__(torch.compile(visual) if mode == "compiled" else visual)


class Exported(Passes):
    """The tower as ONNX Runtime and OpenVINO take it, each with as many threads as the others."""

    def __init__(self, mode, source):
        import warnings

        warnings.simplefilter("ignore")
        visual, example = tower(source), self.draw(2)
        super().__init__(self.onnx_runtime(visual, example) if mode == "onnx-runtime" else self.openvino(visual, example, mode))

    @staticmethod
    def onnx_runtime(visual, example):
        import onnxruntime

        with tempfile.TemporaryDirectory() as folder:
            # Weights of more than 2 GB do not fit into the file itself; the session reads them while it opens.
            path = pathlib.Path(folder) / "tower.onnx"
            torch.backends.mha.set_fastpath_enabled(False)  # ONNX has no such operator
            axes = {"pixels": {0: "images"}, "features": {0: "images"}}
            torch.onnx.export(visual, (example,), path, input_names=["pixels"], output_names=["features"], dynamic_axes=axes, dynamo=False)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda pixels: session.run(None, {"pixels": pixels.numpy()})[0]

    @staticmethod
    def openvino(visual, example, mode):
        import openvino

        model = openvino.convert_model(visual, example_input=example)
        model.reshape([-1, 3, SIDE, SIDE])
        precision = openvino.Type.bf16 if mode.endswith("bfloat16") else openvino.Type.f32
        hints = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": "AUTO"}
        compiled = openvino.Core().compile_model(model, "CPU", hints)
        return lambda pixels: compiled(pixels.numpy())[0]


class EncodeOnGpu(Passes):
    """Pixels go there and features come back, as they do for us; the weights are there."""

    def __init__(self, mode, source):
        if not torch.cuda.is_available():
            self.pixels = None
            return
        kind = mode.split("-")[-1]
        torch.set_float32_matmul_precision("high" if kind == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = kind == "tf32"
        dtype = {"float16": torch.float16, "bfloat16": torch.bfloat16}.get(kind, torch.float32)
        visual = tower(source).to("cuda", dtype)
        if "compiled" in mode:
            visual = torch.compile(visual)
        super().__init__(lambda pixels: visual(pixels.to("cuda", non_blocking=True).to(dtype)).float().cpu())

    def draw(self, images):
        return super().draw(images).pin_memory()

    def answer(self, what, *words):
        if what == "there":
            return int(self.pixels is not None)
        return super().answer(what, *words)


class Dense(Passes):
    """Contributions of the heads, `[images, layers, heads, d]`, through the tensors of the dense decomposition."""

    def __init__(self, mode, source):
        from decompose import decompose, decompose_all_queries

        visual = tower(source)
        layers = list(range(len(visual.transformer.resblocks)))[-LAST_LAYERS:]
        ways = {
            "all-queries": lambda pixels: decompose_all_queries(visual, pixels)["attn"],
            "class-query": lambda pixels: decompose(visual, pixels, layers)["attn"],
            "heads": lambda pixels: decompose(visual, pixels, layers, tokens=False)["attn"],
        }
        super().__init__(ways[mode])
        self.visual, self.decompose_all_queries = visual, decompose_all_queries

    def blocks(self, count):
        self.function = lambda pixels: self.decompose_all_queries(self.visual, pixels, int(count))["attn"]
        return len(self.visual.transformer.resblocks)

    def answer(self, what, *words):
        if what == "blocks":
            return self.blocks(*words)
        if what == "pass":
            return super().answer(what, *words)
        return self.expect(*words) if what == "expect" else self.differ(*words)

    def expect(self, pixels, out, images, layers):
        path = pathlib.Path(pixels)
        if not path.exists():
            path.write_bytes(torch.randn(int(images), 3, SIDE, SIDE).numpy().tobytes())
        values = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.float32).view(-1, 3, SIDE, SIDE)
        found = torch.cat([self.function(image) for image in values.split(1)])[:, -int(layers):]
        pathlib.Path(out).write_bytes(found.contiguous().numpy().tobytes())
        return found.abs().max().item()

    def differ(self, one, other):
        first, second = (torch.frombuffer(bytearray(pathlib.Path(path).read_bytes()), dtype=torch.float32) for path in (one, other))
        return ((first - second).abs().max() / first.abs().max()).item()


class Input:
    """Image files in memory to normalised pixels, one after the other."""

    def __init__(self, mode, source):
        self.files = [path.read_bytes() for path in sorted(pathlib.Path(source).rglob("*")) if path.is_file()]
        self.function = {"pillow": self.pillow, "torchvision": self.torchvision}[mode]()

    def pillow(self):
        from open_clip.transform import image_transform
        from PIL import Image

        transform = image_transform(SIDE, is_train=False, mean=MEAN, std=STD)
        return lambda file: transform(Image.open(io.BytesIO(file)))

    def torchvision(self):
        from torchvision.io import ImageReadMode, decode_jpeg
        from torchvision.transforms.v2 import functional

        def prepare(file):
            image = decode_jpeg(torch.frombuffer(bytearray(file), dtype=torch.uint8), mode=ImageReadMode.RGB)
            image = functional.resize(image, SIDE, interpolation=functional.InterpolationMode.BICUBIC, antialias=True)
            image = functional.to_dtype(functional.center_crop(image, SIDE), torch.float32, scale=True)
            return functional.normalize(image, MEAN, STD)

        return prepare

    def answer(self, what):
        assert what == "all"
        return timed(self.each)

    def each(self):
        for file in self.files:
            self.function(file)


class Texts:
    """OpenCLIP's text tower, which computes all tokens of the context of each text."""

    def __init__(self, _mode, source):
        from make_cases import build
        from open_clip.tokenizer import SimpleTokenizer
        from safetensors.torch import load_file

        config = json.loads((pathlib.Path(source) / "open_clip_config.json").read_text())
        self.model = build(config)
        self.model.load_state_dict(load_file(pathlib.Path(source) / "open_clip_model.safetensors"), assign=True)
        self.model.eval().requires_grad_(False)
        self.tokenizer = SimpleTokenizer()

    def answer(self, what, file, batch, out=None):
        lines = pathlib.Path(file).read_text().splitlines()
        begun = time.perf_counter()
        found = torch.cat([self.model.encode_text(tokens) for tokens in self.tokenizer(lines).split(int(batch))])
        seconds = time.perf_counter() - begun
        if what == "features":
            pathlib.Path(out).write_bytes(found.contiguous().numpy().tobytes())
        return seconds


class Product:
    def __init__(self, _mode, _source):
        pass

    def answer(self, what, size):
        assert what == "product"
        one, other = torch.randn(int(size), int(size)), torch.randn(int(size), int(size))
        return timed(lambda: torch.mm(one, other))


class Textspan:
    """The published loop over dense outputs of one head."""

    def __init__(self, _mode, _source):
        pass

    def answer(self, what, images, d, texts, iterations):
        assert what == "loop"
        x, t = torch.randn(int(images), int(d)), torch.nn.functional.normalize(torch.randn(int(texts), int(d)))
        begun = time.perf_counter()
        v = torch.linalg.svd(x, full_matrices=False)[2][:80]
        t = t @ v.T @ v
        x = x - x.mean(0)
        svd = time.perf_counter() - begun
        begun = time.perf_counter()
        for _ in range(int(iterations)):
            pick = t[(x @ t.T).std(0).argmax()]
            x = x - torch.outer(x @ pick / (pick @ pick), pick)
            t = t - torch.outer(t @ pick / (pick @ pick), pick)
        return svd, (time.perf_counter() - begun) / int(iterations)


MODES = {
    **dict.fromkeys(("eager", "compiled", "bfloat16"), Encode),
    **dict.fromkeys(("onnx-runtime", "openvino", "openvino-bfloat16"), Exported),
    **dict.fromkeys(("cuda-eager", "cuda-tf32", "cuda-float16", "cuda-bfloat16", "cuda-compiled", "cuda-compiled-tf32", "cuda-compiled-float16"), EncodeOnGpu),
    **dict.fromkeys(("all-queries", "class-query", "heads"), Dense),
    **dict.fromkeys(("pillow", "torchvision"), Input),
    "texts": Texts,
    "product": Product,
    "textspan": Textspan,
}


def main():
    mode, source, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    with torch.inference_mode():
        side = MODES[mode](mode, source)
        for line in sys.stdin:
            numbers = side.answer(*line.split())
            print(*(numbers if isinstance(numbers, tuple) else (numbers,)), flush=True)


if __name__ == "__main__":
    main()
