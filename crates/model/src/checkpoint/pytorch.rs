//! Files of `torch.save`, in any container that it has had. Their pickles are read as data: no code in them ever runs.

use std::{
    collections::BTreeMap,
    io,
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use pytorch_reader::{DType, PickleError, PickleValue, PytorchError, PytorchReader};

use super::{
    kind::is_text,
    weights::{ValueType, Weights},
};
use crate::error::{ClipError, ForeignFile, Result};

/// Modules whose functions do something when a pickle is loaded; a checkpoint needs none of them.
const OF_CODE: [&str; 15] = [
    "os",
    "posix",
    "nt",
    "subprocess",
    "sys",
    "socket",
    "shutil",
    "runpy",
    "importlib",
    "pty",
    "webbrowser",
    "ctypes",
    "code",
    "builtins",
    "__builtin__",
];

/// Functions of the last two that only make values.
const PLAIN: [&str; 12] =
    ["set", "frozenset", "list", "dict", "tuple", "bytes", "bytearray", "complex", "range", "slice", "object", "int"];

/// The tensors by name. Those of a whole pickled module have the names of its state dict.
pub(super) fn tensors(path: &Path) -> Result<BTreeMap<String, Weights>> {
    let reader = caught(|| PytorchReader::new(path)).map_err(|source| problem(path, source))?;
    let found = reader.into_tensors().into_iter().map(|(name, tensor)| {
        let (shape, stored_as) = (tensor.shape().to_vec(), value_type(tensor.dtype()));
        (name, Weights::whole(shape, stored_as, move || tensor.read()))
    });
    Ok(found.collect())
}

/// What the library reads. A file that makes it panic is a damaged one.
fn caught<T>(read: impl FnOnce() -> std::result::Result<T, PytorchError>) -> std::result::Result<T, PytorchError> {
    let panicked = |_panic| Err(PytorchError::InvalidFormat("the reader of PyTorch files panicked".to_owned()));
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(panicked)
}

fn value_type(stored: DType) -> ValueType {
    match stored {
        DType::F64 => ValueType::Float64,
        DType::F32 => ValueType::Float32,
        DType::F16 => ValueType::Float16,
        DType::BF16 => ValueType::Bfloat16,
        other => ValueType::Other(format!("{other:?}")),
    }
}

/// Functions that PyTorch would call while loading the file, and that are no part of a checkpoint.
pub(super) fn calls(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(root) = caught(|| PytorchReader::read_pickle_data(path, None)) {
        collect(&root, &mut found);
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn collect(value: &PickleValue, found: &mut Vec<String>) {
    match value {
        PickleValue::Unsupported(name) if is_of_code(name) => found.push(name.clone()),
        PickleValue::List(items) => items.iter().for_each(|item| collect(item, found)),
        PickleValue::Dict(items) => items.values().for_each(|item| collect(item, found)),
        _ => {}
    }
}

fn is_of_code(name: &str) -> bool {
    let Some((module, function)) = name.rsplit_once('.') else { return false };
    let top = module.split('.').next().unwrap_or(module);
    OF_CODE.contains(&top) && !(top.trim_matches('_').starts_with("builtin") && PLAIN.contains(&function))
}

fn problem(path: &Path, source: PytorchError) -> ClipError {
    let path = path.to_owned();
    let cut = |what: &str| ClipError::CutOff { path: path.clone(), what: what.to_owned() };
    match source {
        PytorchError::Pickle(PickleError::UnsupportedType(class)) => ClipError::ForeignClass { path, class },
        PytorchError::Pickle(PickleError::Io(error)) | PytorchError::Io(error)
            if error.kind() == io::ErrorKind::UnexpectedEof =>
        {
            cut("the pickle in it has no end")
        }
        PytorchError::InvalidFormat(message) if message.contains("extends beyond the end") => {
            cut("tensors are missing")
        }
        PytorchError::InvalidFormat(message) if message.contains("failed to fill whole buffer") => {
            cut("the pickles at its beginning have no end")
        }
        // What it begins with is no dictionary. A list or a tensor is told by the reader itself.
        PytorchError::InvalidFormat(message) if message.rsplit("found ").next().is_some_and(is_foreign) => {
            let class = message.rsplit("found ").next().unwrap_or_default().to_owned();
            ClipError::ForeignClass { path, class }
        }
        PytorchError::Io(error) => ClipError::Io(error),
        _ if begins_with_text(&path) => ClipError::NotWeights { path, kind: ForeignFile::Text },
        source => ClipError::Pytorch { path, source: Box::new(source) },
    }
}

/// Whether it is the name of a class with its module, and not one of PyTorch's own.
fn is_foreign(name: &str) -> bool {
    name.contains('.') && !name.contains(' ') && !name.starts_with("torch.")
}

/// Pickles of protocol 0 are text as well, but end with a full stop on a line of its own or after a letter.
fn begins_with_text(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = fs_err::File::open(path).and_then(|file| file.take(512).read_to_end(&mut head).map(|_| ()));
    read.is_ok() && is_text(&head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_act_are_told_from_those_that_make_values() {
        for (name, expected) in [
            ("posix.system", true),
            ("os.path.join", true),
            ("builtins.eval", true),
            ("__builtin__.exec", true),
            ("builtins.set", false),
            ("builtins.bytearray", false),
            ("torch.device", false),
            ("argparse.Namespace", false),
            ("osgeo.thing", false),
            ("int", false),
        ] {
            assert_eq!(is_of_code(name), expected, "{name}");
        }
    }

    #[test]
    fn a_panic_of_the_library_is_an_error() {
        let said = caught::<()>(|| panic!("an index")).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains("panicked"), "{said}");
    }

    #[test]
    fn a_call_is_found_and_not_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.pt");
        // {"a": os.system("true")}
        fs_err::write(&path, b"\x80\x02}X\x01\0\0\0acposix\nsystem\nX\x04\0\0\0true\x85Rs.").expect("written");
        assert_eq!(calls(&path), ["posix.system"]);
        assert!(tensors(&path).expect("a dictionary").is_empty());
        fs_err::write(&path, b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R.").expect("written");
        assert!(matches!(tensors(&path), Err(ClipError::ForeignClass { class, .. }) if class == "posix.system"));
    }
}
