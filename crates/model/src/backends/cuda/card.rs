//! A card: its context, and the kernels loaded there.

#![expect(unsafe_code, reason = "the driver keeps track of no memory: a stream's buffers are its own")]

use std::{collections::HashMap, sync::Arc};

use cudarc::{
    driver::{CudaContext, CudaFunction, DriverError, result},
    nvrtc::Ptx,
};

use super::{compile::compile, device::Device, engine::NAMES, error::CudaProblem, libraries};
use crate::{error::ClipError, precision::Precision};

/// A card that was opened.
pub(crate) struct Card {
    pub(super) context: Arc<CudaContext>,
    kernels: HashMap<&'static str, CudaFunction>,
    /// Bytes that cuBLASLt may use beside a product's matrices, as NVIDIA advises: 32 MiB from Hopper on, else 4.
    pub(super) workspace: usize,
    /// Compute capability, major and minor.
    capability: (i32, i32),
}

/// Names of the cards, from number 0 on; nothing where CUDA cannot be used.
pub(crate) fn cards() -> Result<Vec<String>, CudaProblem> {
    libraries::load()?;
    let failed = failed("looking for cards");
    result::init().map_err(failed)?;
    let name = |number| result::device::get_name(result::device::get(number)?);
    (0..result::device::get_count().map_err(failed)?).map(|number| name(number).map_err(failed)).collect()
}

/// The error of the driver while it was `doing` something.
pub(super) fn failed(doing: &'static str) -> impl Fn(DriverError) -> CudaProblem + Copy {
    move |error| CudaProblem::Driver { doing, said: format!("{:?}", error.0) }
}

impl Card {
    /// Opens a card, by its number from 0, and proves with a product and a kernel that it computes.
    pub(crate) fn open(number: usize) -> Result<Arc<Self>, CudaProblem> {
        let found = cards()?.len();
        if number >= found {
            return Err(CudaProblem::NoCard { wanted: number, found });
        }
        let failed = failed("opening the card");
        let context = CudaContext::new(number).map_err(failed)?;
        // SAFETY: a buffer is used by one stream alone, but for weights, which are written before any stream reads them.
        unsafe { context.disable_event_tracking() };
        let (major, minor) = context.compute_capability().map_err(failed)?;
        let code = compile(&format!("sm_{major}{minor}"))?;
        let module = context.load_module(Ptx::from_binary(code)).map_err(failed)?;
        let kernel = |name: &'static str| Ok((name, module.load_function(name).map_err(failed)?));
        let kernels = NAMES.into_iter().map(kernel).collect::<Result<_, CudaProblem>>()?;
        let workspace = if major >= 9 { 32 << 20 } else { 4 << 20 };
        let card = Arc::new(Self { context, kernels, workspace, capability: (major, minor) });
        card.prove()?;
        Ok(card)
    }

    /// Bytes that are free.
    pub(crate) fn free_memory(&self) -> Option<u64> {
        Some(self.context.mem_get_info().ok()?.0 as u64)
    }

    /// An error if it cannot multiply numbers of a precision: cards before Ampere have no bfloat16.
    pub(crate) fn check(&self, precision: Precision) -> Result<(), ClipError> {
        if precision == Precision::Bfloat16 && self.capability < (8, 0) {
            return Err(ClipError::Precision { precision, why: "this card cannot compute with it" });
        }
        Ok(())
    }

    pub(super) fn kernel(&self, name: &'static str) -> Option<&CudaFunction> {
        self.kernels.get(name)
    }

    fn prove(self: &Arc<Self>) -> Result<(), CudaProblem> {
        let (found, expected) = (Device::new(self)?.proof()?, [18.0, 40.0]);
        if found == expected {
            return Ok(());
        }
        let shown = |values: &[f32]| values.iter().map(ToString::to_string).collect();
        Err(CudaProblem::Wrong { found: shown(&found), expected: shown(&expected) })
    }
}
