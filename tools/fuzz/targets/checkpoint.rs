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
    mod pickle;

    /// Reads a pickle, and the tensors in it.
    pub(crate) fn read(bytes: &[u8]) {
        _ = pickle::Pickle::read(bytes).and_then(|pickle| pickle.arrays());
    }
}

use pytorch_reader::PytorchReader;

/// Tensors whose values are read.
const READ: usize = 8;

fn checkpoint(bytes: &[u8]) {
    torchscript::read(bytes);
    _ = serde_json::from_slice::<safetensors::tensor::Metadata>(bytes);
    let path = headspan_fuzz::file("model.pt", bytes);
    let Ok(reader) = PytorchReader::new(&path) else { return };
    for (_name, tensor) in reader.into_tensors().into_iter().take(READ) {
        let values = tensor.shape().iter().try_fold(1_usize, |all, size| all.checked_mul(*size));
        if values.is_some_and(|values| values < 1 << 20) {
            _ = tensor.read();
        }
    }
}

headspan_fuzz::target!(checkpoint);
