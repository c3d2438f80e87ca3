//! Bytes as a checkpoint, as far as it is read without Burn: the pickle of TorchScript by our own machine, files of `torch.save` by the
//! crate `pytorch-reader`, and the header of safetensors.
//!
//! The machine is compiled from `crates/model` file by file: the crate itself takes a quarter of an hour.
#![no_main]

#[path = "../../../crates/model/src/checkpoint/torchscript"]
mod torchscript {
    #[path = "machine.rs"]
    mod machine;
    #[path = "pickle.rs"]
    pub(crate) mod pickle;
}

use pytorch_reader::PytorchReader;
use torchscript::pickle::Pickle;

/// Tensors whose values are read.
const READ: usize = 8;

fn checkpoint(bytes: &[u8]) {
    if let Ok(pickle) = Pickle::read(bytes) {
        _ = pickle.arrays();
    }
    _ = serde_json::from_slice::<safetensors::tensor::Metadata>(bytes);
    let path = headspan_fuzz::file("model.pt", bytes);
    // `crates/model` catches panics of the library.
    _ = std::panic::catch_unwind(|| {
        let reader = PytorchReader::new(&path).ok()?;
        for (_name, tensor) in reader.into_tensors().into_iter().take(READ) {
            if tensor
                .shape()
                .iter()
                .try_fold(1_usize, |all, size| all.checked_mul(*size))
                .is_some_and(|all| all < 1 << 20)
            {
                _ = tensor.read();
            }
        }
        Some(())
    });
}

headspan_fuzz::target!(checkpoint);
