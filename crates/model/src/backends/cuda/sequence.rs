//! The forward pass with the outputs of the heads asked for, as products and kernels one after the other.

use std::ops::Range;

use super::{
    engine::{Engine, Kernel, Operands},
    memory::{Memory, score_distance},
    product::Product,
    weights::{Block, Linear, Norm, Tower},
};
use crate::{error::Result, precision::Precision, trace::TraceRequest};

/// A pass over some images.
pub(super) struct Pass<'a, E: Engine> {
    pub(super) engine: &'a mut E,
    pub(super) tower: &'a Tower<E::Buffer>,
    pub(super) memory: &'a Memory<E::Buffer>,
    pub(super) images: usize,
}

/// Rows of the residual stream that go on: all tokens, or the class tokens from the last attention on.
struct Stream<B> {
    residual: B,
    rows: usize,
    /// Rows from a class token to the next.
    step: usize,
}

/// Queries of a layer, and where they stand.
struct Queries<'a, B> {
    buffer: &'a B,
    /// Queries of an image.
    count: usize,
    /// Values from a query to the next.
    stride: usize,
}

impl<'a, E: Engine> Pass<'a, E> {
    /// The whole pass, of pixels `[images, 3, side, side]`. What it gives is in the memory then.
    pub(super) fn run(&mut self, pixels: &[f32], request: &TraceRequest) -> Result<()> {
        let memory = self.memory;
        let (mut z, mut components) = (memory.kept.z.iter(), memory.kept.components.iter());
        let (mut tokens, mut means) = (memory.kept.tokens.iter(), memory.kept.means.iter());
        self.embed(pixels)?;
        let mut stream = Stream { residual: memory.residual.clone(), rows: self.rows(), step: self.tower.tokens };
        if let Some(to) = components.next() {
            self.class_tokens(&memory.residual, to, &stream)?;
        }
        for (layer, block) in self.tower.blocks.iter().enumerate() {
            // Nothing after the last attention is needed for any other token.
            let is_last = layer + 1 == self.tower.blocks.len();
            let queries = self.project(block, is_last)?;
            self.attend(&queries)?;
            if request.token_layers.contains(&layer)
                && let Some((attention, values)) = tokens.next()
            {
                self.keep_tokens(&queries, attention, values)?;
            }
            if let Some(to) = means.next() {
                self.keep_mean(&queries, to)?;
            }
            if is_last {
                self.class_tokens(&memory.residual, &memory.class, &stream)?;
                stream = Stream { residual: memory.class.clone(), rows: self.images, step: 1 };
            }
            if request.layers.contains(&layer)
                && let Some(to) = z.next()
            {
                self.class_tokens(&memory.z, to, &stream)?;
            }
            self.output(block, &stream)?;
            self.expand(block, &stream)?;
            if let Some(to) = components.next() {
                self.keep_update(block, to, &stream)?;
            }
            self.add(&memory.hidden, &block.contract, self.tower.hidden, &stream)?;
        }
        self.represent()
    }

    fn rows(&self) -> usize {
        self.images * self.tower.tokens
    }

    /// Patches, class token, positions and the first norm.
    fn embed(&mut self, pixels: &[f32]) -> Result<()> {
        let (tower, memory, rows) = (self.tower, self.memory, self.rows());
        let (width, depth) = (tower.width, 3 * tower.patch * tower.patch);
        self.engine.write(pixels, &memory.pixels)?;
        let (side, patch) = (tower.side, tower.patch);
        self.engine.launch(&Kernel::Patches { pixels: &memory.pixels, to: &memory.wide, rows, side, patch })?;
        let period = tower.tokens;
        self.engine.launch(&Kernel::Repeat { from: &tower.positions, to: &memory.z, rows, width, period })?;
        // The class token has no patch: its row of `wide` is zero.
        let product = Product::new([rows, depth, width], Precision::Float32).transposed().accumulate();
        let (left, right) = ((&memory.wide, 0), (&tower.patches, 0));
        self.engine.multiply(product, &Operands { left, right, result: (&memory.z, 0), bias: None })?;
        self.normalise(&memory.z, &memory.residual, &tower.ln_pre, rows, Precision::Float32)
    }

    /// Queries, keys and values into `wide`, of the class tokens alone the queries into a buffer of their own.
    fn project(&mut self, block: &'a Block<E::Buffer>, of_class_tokens: bool) -> Result<Queries<'a, E::Buffer>> {
        let (tower, memory, rows) = (self.tower, self.memory, self.rows());
        let (width, format, tokens) = (tower.width, tower.precision, tower.tokens);
        self.normalise(&memory.residual, &memory.narrow, &block.ln_1, rows, format)?;
        if !of_class_tokens {
            self.columns(&block.fused, 0..3 * width, (&memory.narrow, rows), (&memory.wide, 3 * width))?;
            return Ok(Queries { buffer: &memory.wide, count: tokens, stride: 3 * width });
        }
        self.columns(&block.fused, width..3 * width, (&memory.narrow, rows), (&memory.wide, 3 * width))?;
        let (from, to, rows, distance) = (&memory.narrow, &memory.few, self.images, tokens * width);
        self.engine.launch(&Kernel::Gather { from, to, rows, width, distance, format })?;
        self.columns(&block.fused, 0..width, (&memory.few, rows), (&memory.queries, width))?;
        Ok(Queries { buffer: &memory.queries, count: 1, stride: width })
    }

    /// Some columns of queries, keys and values of some rows, to the same columns of rows that are `stride` apart.
    fn columns(
        &mut self,
        fused: &Linear<E::Buffer>,
        columns: Range<usize>,
        (from, rows): (&E::Buffer, usize),
        (to, stride): (&E::Buffer, usize),
    ) -> Result<()> {
        let (width, first) = (self.tower.width, columns.start);
        let product = Product::new([rows, width, columns.len()], self.tower.precision).bias();
        let product = product.strides([width, 3 * width, stride]);
        let (right, bias) = ((&fused.weight, first), Some((&fused.bias, first)));
        self.engine.multiply(product, &Operands { left: (from, 0), right, result: (to, first), bias })
    }

    /// Scores, their softmax, and `z`, a head of all images at a time.
    fn attend(&mut self, queries: &Queries<'_, E::Buffer>) -> Result<()> {
        let (tower, memory, images) = (self.tower, self.memory, self.images);
        let (width, head_dim, tokens) = (tower.width, tower.head_dim(), tower.tokens);
        let (count, distance) = (queries.count, score_distance(tokens));
        let scores_of_head = |head: usize| (&memory.scores, head * images * count * distance);
        let (of_image, scores_of_image) = (tokens * 3 * width, count * distance);
        for head in 0..tower.heads {
            let product = Product::new([count, head_dim, tokens], Precision::Float32)
                .transposed()
                .strides([queries.stride, 3 * width, distance])
                .repeat(images, [count * queries.stride, of_image, scores_of_image]);
            let (left, right) = ((queries.buffer, head * head_dim), (&memory.wide, width + head * head_dim));
            self.engine.multiply(product, &Operands { left, right, result: scores_of_head(head), bias: None })?;
        }
        let rows = tower.heads * images * count;
        self.engine.launch(&Kernel::Softmax { scores: &memory.scores, rows, tokens, distance })?;
        for head in 0..tower.heads {
            let product = Product::new([count, tokens, head_dim], Precision::Float32)
                .strides([distance, 3 * width, width])
                .repeat(images, [scores_of_image, of_image, count * width]);
            let (left, right) = (scores_of_head(head), (&memory.wide, 2 * width + head * head_dim));
            let result = (&memory.z, head * head_dim);
            self.engine.multiply(product, &Operands { left, right, result, bias: None })?;
        }
        Ok(())
    }

    fn keep_tokens(
        &mut self,
        queries: &Queries<'_, E::Buffer>,
        attention: &E::Buffer,
        values: &E::Buffer,
    ) -> Result<()> {
        let (tower, memory) = (self.tower, self.memory);
        let (heads, tokens, rows) = (tower.heads, tower.tokens, self.images * tower.heads);
        let (scores, distance) = (&memory.scores, score_distance(tokens));
        let queries = queries.count;
        self.engine.launch(&Kernel::FirstQuery { scores, to: attention, rows, heads, queries, tokens, distance })?;
        let (rows, width) = (rows * tokens, tower.head_dim());
        self.engine.launch(&Kernel::ValuesOfHeads { projected: &memory.wide, to: values, rows, heads, tokens, width })
    }

    fn keep_mean(&mut self, queries: &Queries<'_, E::Buffer>, to: &E::Buffer) -> Result<()> {
        let (heads, tokens, rows) = (self.tower.heads, self.tower.tokens, self.images * queries.count);
        let (scores, distance) = (&self.memory.scores, score_distance(tokens));
        self.engine.launch(&Kernel::MeanOfHeads { scores, to, rows, heads, tokens, distance })
    }

    /// Adds the attention's output to the residual stream.
    fn output(&mut self, block: &Block<E::Buffer>, stream: &Stream<E::Buffer>) -> Result<()> {
        let (tower, memory) = (self.tower, self.memory);
        let (width, format, rows) = (tower.width, tower.precision, stream.rows);
        if format != Precision::Float32 {
            self.engine.launch(&Kernel::Convert { from: &memory.z, to: &memory.narrow, rows, width, format })?;
        }
        self.add(&memory.narrow, &block.output, width, stream)
    }

    /// The MLP's hidden layer.
    fn expand(&mut self, block: &Block<E::Buffer>, stream: &Stream<E::Buffer>) -> Result<()> {
        let (tower, memory) = (self.tower, self.memory);
        let (rows, format) = (stream.rows, tower.precision);
        self.normalise(&stream.residual, &memory.narrow, &block.ln_2, rows, format)?;
        let product = Product::new([rows, tower.width, tower.hidden], format);
        let (left, right) = ((&memory.narrow, 0), (&block.expand.weight, 0));
        self.engine.multiply(product, &Operands { left, right, result: (&memory.wide, 0), bias: None })?;
        let (from, to, bias) = (&memory.wide, &memory.hidden, &block.expand.bias);
        let (width, quick) = (tower.hidden, tower.quick);
        self.engine.launch(&Kernel::Activate { from, bias, to, rows, width, quick, format })
    }

    /// `residual += rows · weight + bias`.
    fn add(
        &mut self,
        from: &E::Buffer,
        linear: &Linear<E::Buffer>,
        depth: usize,
        stream: &Stream<E::Buffer>,
    ) -> Result<()> {
        let product = Product::new([stream.rows, depth, self.tower.width], self.tower.precision).bias().accumulate();
        let (right, bias) = ((&linear.weight, 0), Some((&linear.bias, 0)));
        self.engine.multiply(product, &Operands { left: (from, 0), right, result: (&stream.residual, 0), bias })
    }

    /// The MLP's update of the class tokens alone; that of all tokens goes straight into the residual stream.
    fn keep_update(&mut self, block: &Block<E::Buffer>, to: &E::Buffer, stream: &Stream<E::Buffer>) -> Result<()> {
        let (tower, memory, rows) = (self.tower, self.memory, self.images);
        let (width, format) = (tower.hidden, tower.precision);
        let distance = stream.step * width;
        self.engine.launch(&Kernel::Gather { from: &memory.hidden, to: &memory.few, rows, width, distance, format })?;
        let product = Product::new([rows, width, tower.width], format).bias();
        let (left, right) = ((&memory.few, 0), (&block.contract.weight, 0));
        let bias = Some((&block.contract.bias, 0));
        self.engine.multiply(product, &Operands { left, right, result: (to, 0), bias })
    }

    /// The class tokens' rows of float32 rows as wide as the residual stream.
    fn class_tokens(&mut self, from: &E::Buffer, to: &E::Buffer, stream: &Stream<E::Buffer>) -> Result<()> {
        let (rows, width, format) = (self.images, self.tower.width, Precision::Float32);
        self.engine.launch(&Kernel::Gather { from, to, rows, width, distance: stream.step * width, format })
    }

    fn normalise(
        &mut self,
        from: &E::Buffer,
        to: &E::Buffer,
        norm: &Norm<E::Buffer>,
        rows: usize,
        format: Precision,
    ) -> Result<()> {
        let (width, epsilon) = (self.tower.width, self.tower.norm_epsilon as f32);
        let (weight, bias) = (&norm.weight, &norm.bias);
        let distance = width;
        self.engine.launch(&Kernel::Normalise { from, to, weight, bias, rows, width, distance, epsilon, format })
    }

    /// The last norm and the output projection of the class tokens.
    fn represent(&mut self) -> Result<()> {
        let (tower, memory, images) = (self.tower, self.memory, self.images);
        self.normalise(&memory.class, &memory.queries, &tower.ln_post, images, Precision::Float32)?;
        let product = Product::new([images, tower.width, tower.d], Precision::Float32);
        let (left, right) = ((&memory.queries, 0), (&tower.projection, 0));
        self.engine.multiply(product, &Operands { left, right, result: (&memory.representation, 0), bias: None })
    }
}
