//! A card as an engine: a stream with its own cuBLASLt, its own memory and page-locked memory beside it.

#![expect(unsafe_code, reason = "kernels and products take addresses; what they reach is checked here")]

use std::{ffi::c_void, sync::Arc};

use cudarc::driver::{
    CudaContext, CudaStream, LaunchConfig, PinnedHostSlice, PushKernelArg, result,
    sys::{CU_MEMHOSTALLOC_WRITECOMBINED, CUdeviceptr},
};
use half::{bf16, f16};

use super::{
    calls::{Addresses, Calls},
    card::{Card, failed},
    engine::{Argument, Engine, Kernel, Operands},
    error::CudaProblem,
    product::{Layout, Product},
};
use crate::{error::Result, precision::Precision};

/// Lanes of a warp, which has a row.
const LANES: u32 = 32;
/// Warps of a block.
const ROWS: usize = 4;

/// A stream of a card.
pub(super) struct Device {
    card: Arc<Card>,
    stream: Arc<CudaStream>,
    calls: Calls,
    workspace: Memory,
    /// Pixels on their way to the card: the driver copies from page-locked memory alone while it does something else.
    outward: Option<PinnedHostSlice<f32>>,
    /// Results on their way back.
    homeward: Option<PinnedHostSlice<f32>>,
}

/// Memory of a card, let go with its last clone.
#[derive(Clone)]
pub(super) struct Memory(Arc<Allocation>);

struct Allocation {
    context: Arc<CudaContext>,
    address: CUdeviceptr,
    values: usize,
    format: Precision,
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: it is let go once; the driver waits for what still uses it.
        let freed = self.context.bind_to_thread().and_then(|()| unsafe { result::free_sync(self.address) });
        self.context.record_err(freed);
    }
}

impl Memory {
    fn new(context: &Arc<CudaContext>, values: usize, format: Precision) -> Result<Self, CudaProblem> {
        let failed = failed("allocating memory");
        context.bind_to_thread().map_err(failed)?;
        // SAFETY: what stands there is never read before it was written, and any bits are a number.
        let address = unsafe { result::malloc_sync((values * bytes_of(format)).max(1)) }.map_err(failed)?;
        Ok(Self(Arc::new(Allocation { context: Arc::clone(context), address, values, format })))
    }

    /// Address of a value.
    fn at(&self, first: usize) -> CUdeviceptr {
        self.0.address + (first * bytes_of(self.0.format)) as CUdeviceptr
    }

    fn check(&self, values: usize, format: Precision) -> Result<(), CudaProblem> {
        if values <= self.0.values && format == self.0.format {
            return Ok(());
        }
        let said = format!("{values} values of {format} are asked for of {} of {}", self.0.values, self.0.format);
        Err(CudaProblem::Driver { doing: "looking at memory", said })
    }
}

fn bytes_of(format: Precision) -> usize {
    if format == Precision::Float32 { 4 } else { 2 }
}

impl Device {
    pub(super) fn new(card: &Arc<Card>) -> Result<Self, CudaProblem> {
        let stream = card.context.new_stream().map_err(failed("making a stream"))?;
        let workspace = Memory::new(&card.context, card.workspace / bytes_of(Precision::Float32), Precision::Float32)?;
        Ok(Self { card: Arc::clone(card), stream, calls: Calls::new()?, workspace, outward: None, homeward: None })
    }

    fn put<T>(&self, values: &[T], format: Precision) -> Result<Memory, CudaProblem> {
        let memory = Memory::new(&self.card.context, values.len(), format)?;
        // SAFETY: the memory has as many values of this size.
        unsafe { result::memcpy_htod_sync(memory.at(0), values) }.map_err(failed("uploading"))?;
        // The driver may still be copying from memory of its own, for which our streams do not wait.
        result::ctx::synchronize().map_err(failed("uploading"))?;
        Ok(memory)
    }

    fn send(&mut self, values: &[f32], to: &Memory) -> Result<(), CudaProblem> {
        to.check(values.len(), Precision::Float32)?;
        let failed = failed("sending pixels");
        self.card.context.bind_to_thread().map_err(failed)?;
        let locked = page_locked(&self.card.context, &mut self.outward, values.len(), CU_MEMHOSTALLOC_WRITECOMBINED)?;
        let from = &mut locked.as_mut_slice().map_err(failed)?[..values.len()];
        from.copy_from_slice(values);
        // SAFETY: the page-locked memory is written again only after the stream was waited for, by `receive`.
        unsafe { result::memcpy_htod_async(to.at(0), from, self.stream.cu_stream()) }.map_err(failed)
    }

    fn product(&mut self, product: Product, on: &Operands<'_, Memory>) -> Result<(), CudaProblem> {
        let call = product.in_columns();
        // Its A is our right side.
        let sides = [
            (on.right, &call.a, call.factors),
            (on.left, &call.b, call.factors),
            (on.result, &call.c, Precision::Float32),
        ];
        for ((memory, first), layout, format) in sides {
            memory.check(first + values_of(layout), format)?;
        }
        if let Some((memory, first)) = on.bias {
            memory.check(first + call.c.rows, Precision::Float32)?;
        }
        self.card.context.bind_to_thread().map_err(failed("multiplying"))?;
        let at = |(memory, first): (&Memory, usize)| memory.at(first);
        let addresses = Addresses {
            a: at(on.right),
            b: at(on.left),
            c: at(on.result),
            bias: on.bias.map_or(0, at),
            workspace: self.workspace.at(0),
            workspace_bytes: self.card.workspace,
        };
        let stream = self.stream.cu_stream().cast::<c_void>();
        // SAFETY: the context was bound; every matrix lies within its memory, which the driver frees only after the stream has used it.
        unsafe { self.calls.run(&call, &addresses, stream) }
    }

    fn start(&self, kernel: &Kernel<'_, Memory>) -> Result<(), CudaProblem> {
        enum Stored {
            Address(CUdeviceptr),
            Count(i64),
            Int(i32),
            Float(f32),
        }
        let arguments = kernel.arguments().into_iter().map(|argument| match argument {
            Argument::Buffer(memory) => Stored::Address(memory.at(0)),
            Argument::Count(number) => Stored::Count(number),
            Argument::Int(number) => Stored::Int(number),
            Argument::Float(number) => Stored::Float(number),
        });
        let arguments: Vec<Stored> = arguments.collect();
        let unknown = || CudaProblem::Driver { doing: "starting a kernel", said: format!("no `{}`", kernel.name()) };
        let mut launch = self.stream.launch_builder(self.card.kernel(kernel.name()).ok_or_else(unknown)?);
        for argument in &arguments {
            match argument {
                Stored::Address(value) => launch.arg(value),
                Stored::Count(value) => launch.arg(value),
                Stored::Int(value) => launch.arg(value),
                Stored::Float(value) => launch.arg(value),
            };
        }
        let blocks = kernel.rows().div_ceil(ROWS) as u32;
        let shape = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (LANES, ROWS as u32, 1), shared_mem_bytes: 0 };
        // SAFETY: the arguments have the types and the order of the source (tested by calling that source with the same list), and the
        // sizes are those that the buffers were allocated for (tested by running the sequence on memory whose bounds are checked).
        unsafe { launch.launch(shape) }.map(drop).map_err(failed("starting a kernel"))
    }

    fn receive(&mut self, buffers: &[(&Memory, usize)]) -> Result<Vec<Vec<f32>>, CudaProblem> {
        let failed = failed("reading the trace back");
        let total = buffers.iter().map(|(_, count)| count).sum();
        let locked = page_locked(&self.card.context, &mut self.homeward, total, 0)?;
        self.card.context.bind_to_thread().map_err(failed)?;
        let mut rest = locked.as_mut_slice().map_err(failed)?;
        for (memory, count) in buffers {
            memory.check(*count, Precision::Float32)?;
            let (to, after) = rest.split_at_mut(*count);
            // SAFETY: nothing reads the page-locked memory before the stream was waited for.
            unsafe { result::memcpy_dtoh_async(to, memory.at(0), self.stream.cu_stream()) }.map_err(failed)?;
            rest = after;
        }
        self.stream.synchronize().map_err(failed)?;
        let mut rest = locked.as_slice().map_err(failed)?;
        let take = |(_, count): &(&Memory, usize)| {
            let (values, after) = rest.split_at(*count);
            rest = after;
            values.to_vec()
        };
        Ok(buffers.iter().map(take).collect())
    }

    /// A small product with a bias, rounded by a kernel, whose result is `[18, 40]`: 1·5 + 2·6 + 1 and 3·5 + 4·6 + 1.
    pub(super) fn proof(&mut self) -> Result<Vec<f32>, CudaProblem> {
        let upload = |device: &Self, values: &[f32]| device.put(values, Precision::Float32);
        let (left, right) = (upload(self, &[1.0, 2.0, 3.0, 4.0])?, upload(self, &[5.0, 6.0])?);
        let (bias, to, copy) = (upload(self, &[1.0])?, upload(self, &[0.0; 2])?, upload(self, &[0.0; 2])?);
        let product = Product::new([2, 2, 1], Precision::Float32).bias();
        let on = Operands { left: (&left, 0), right: (&right, 0), result: (&to, 0), bias: Some((&bias, 0)) };
        self.product(product, &on)?;
        self.start(&Kernel::Convert { from: &to, to: &copy, rows: 2, width: 1, format: Precision::Float32 })?;
        Ok(self.receive(&[(&copy, 2)])?.concat())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // After an error there may be work on the stream that uses its memory.
        self.card.context.record_err(self.stream.synchronize());
    }
}

/// Values from the first of a layout's matrices to the last.
fn values_of(layout: &Layout) -> usize {
    (layout.count - 1) * layout.distance + (layout.columns - 1) * layout.leading + layout.rows
}

/// Page-locked memory for so many values, made anew where what is there is too small.
fn page_locked<'a>(
    context: &Arc<CudaContext>,
    memory: &'a mut Option<PinnedHostSlice<f32>>,
    values: usize,
    flags: u32,
) -> Result<&'a mut PinnedHostSlice<f32>, CudaProblem> {
    if memory.as_ref().is_none_or(|memory| memory.len() < values) {
        // The old one goes first, so that both need not fit.
        *memory = None;
    }
    if let Some(memory) = memory {
        return Ok(memory);
    }
    // SAFETY: any bits are a number.
    let made = unsafe { context.alloc_pinned_with_flags(values.max(1), flags) };
    Ok(memory.insert(made.map_err(failed("allocating page-locked memory"))?))
}

impl Engine for Device {
    type Buffer = Memory;

    fn allocate(&self, values: usize, format: Precision) -> Result<Memory> {
        Ok(Memory::new(&self.card.context, values, format)?)
    }

    fn upload(&self, values: &[f32], format: Precision) -> Result<Memory> {
        let rounded = |bits: fn(f32) -> u16| values.iter().map(|value| bits(*value)).collect::<Vec<u16>>();
        Ok(match format {
            Precision::Float32 => self.put(values, format)?,
            Precision::Bfloat16 => self.put(&rounded(|value| bf16::from_f32(value).to_bits()), format)?,
            Precision::Float16 => self.put(&rounded(|value| f16::from_f32(value).to_bits()), format)?,
        })
    }

    fn write(&mut self, values: &[f32], to: &Memory) -> Result<()> {
        Ok(self.send(values, to)?)
    }

    fn multiply(&mut self, product: Product, on: &Operands<'_, Memory>) -> Result<()> {
        Ok(self.product(product, on)?)
    }

    fn launch(&mut self, kernel: &Kernel<'_, Memory>) -> Result<()> {
        Ok(self.start(kernel)?)
    }

    fn read(&mut self, buffers: &[(&Memory, usize)]) -> Result<Vec<Vec<f32>>> {
        Ok(self.receive(buffers)?)
    }
}
