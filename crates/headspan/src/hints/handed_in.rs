//! Hints for what people hand in: data sets and checkpoints.

use std::path::Path;

use headspan_images::DatasetError;
use headspan_model::{ClipError, CudaProblem, DeviceProblem, ForeignFile, Precision, architectures};

use super::store::store;

pub(super) fn dataset(error: &DatasetError) -> Option<String> {
    let hint = match error {
        DatasetError::Io(inner) => return store(inner),
        DatasetError::NoMatch { .. } => {
            "`*` stands for any letters of the file's name, `?` for one, and `{000..009}` for a range"
        }
        DatasetError::UnknownScheme { .. } => {
            "addresses begin with s3://, gs://, az://, https://, http:// or hf://datasets/"
        }
        DatasetError::NoColumn { similar: Some(similar), column, .. } => {
            let setting = match column.as_str() {
                "path" => "path_column",
                "class" => "class_column",
                "image" => "image_column",
                "label" => "label_column",
                _ => return Some(format!("did you mean `{similar}`?")),
            };
            return Some(format!("did you mean `{similar}`? set `{setting} = \"{similar}\"` in section [data]"));
        }
        DatasetError::SeveralColumns { .. } => "name one of them as `image_column` in section [data]",
        DatasetError::Mixed { .. } => {
            "set `kind` in section [data] to `folder`, `webdataset` or `parquet`, or move the other files away"
        }
        DatasetError::NotAShard { what, path, .. } | DatasetError::UnknownKind { what: Some(what), path } => {
            return not_a_shard(what, path);
        }
        DatasetError::Damaged { .. } => "without `--strict`, what can be read is used, and the rest is warned of",
        DatasetError::NotHandedOver { .. } => "hand them over again, or say where the images are",
        DatasetError::Duplicate { .. } => "an image counts once: remove its other rows",
        DatasetError::Addresses { .. } => "download the images first, for example with img2dataset",
        DatasetError::Pattern { .. } => "to read other shards together, put them into one folder",
        DatasetError::FractionalClass { .. } => {
            "name another column as `label_column`, or none: `label_column = \"\"` in section [data]"
        }
        DatasetError::ClassTooLarge { .. } => "store the classes as strings",
        DatasetError::ClassNames { .. } => "write both files with one list of classes, or read them as two data sets",
        DatasetError::NoClasses { format, .. } => match *format {
            "manifest" => "name the column of classes as `class_column`, or leave --classes out",
            "webdataset" => "add a member `.cls` for each image, or leave --classes out",
            "parquet" => "name the column of classes as `label_column`, or leave --classes out",
            _ => "put the images into a folder for each class, or leave --classes out",
        },
        _ => return None,
    };
    Some(hint.to_owned())
}

/// What to do with a file that is another than its name says.
fn not_a_shard(what: &str, path: &Path) -> Option<String> {
    let path = path.display();
    let hint = match what {
        "compressed with bzip2" => format!("unpack it: `bzip2 -dk {path}`"),
        "compressed with xz" | "compressed with lzma" => format!("unpack it: `xz -dk {path}`"),
        "compressed with lz4" => format!("unpack it: `lz4 -dk {path}`"),
        "compressed with gzip" | "compressed with compress" => format!("unpack it: `gzip -dk {path}`"),
        "compressed with zstd" => format!("unpack it: `zstd -dk {path}`"),
        "a zip archive" | "a 7z archive" | "a rar archive" => "unpack it and give the folder".to_owned(),
        "a Git LFS pointer" => "fetch the file itself: `git lfs pull`".to_owned(),
        "an HTML page" => "the download failed; fetch the file again".to_owned(),
        "a PNG image" | "a JPEG image" => "give the folder that the image is in".to_owned(),
        _ => return None,
    };
    Some(hint)
}

pub(super) fn clip(error: &ClipError) -> Option<String> {
    let hint = match error {
        ClipError::CutOff { .. } | ClipError::NotWeights { kind: ForeignFile::Zeros | ForeignFile::Empty, .. } => {
            "fetch or copy the file again; `headspan fetch` continues a download of a known model"
        }
        ClipError::Safetensors { .. } | ClipError::Pytorch { .. } => {
            "if PyTorch reads the file, save it anew: `torch.save(model.state_dict(), \"model.pt\")`"
        }
        ClipError::NotWeights { kind: ForeignFile::LfsPointer, .. } => {
            "run `git lfs pull` in the repository it comes from"
        }
        ClipError::NotWeights { kind: ForeignFile::WebPage | ForeignFile::Json | ForeignFile::Text, .. } => {
            "open the file in a text editor: a server sent it instead of the weights"
        }
        ClipError::TorchScript { .. } => {
            "to convert it: `torch.save(torch.jit.load(\"model.pt\", map_location=\"cpu\").state_dict(), \"converted.pt\")`"
        }
        ClipError::ForeignClass { .. } => {
            "where that program is installed, save the weights alone: `torch.save(model.state_dict(), \"model.pt\")`"
        }
        ClipError::NoTower { .. } => {
            "supported are ViTs of CLIP, SigLIP, DINOv2 and timm, as docs/compatibility.md lists them; ResNets are not"
        }
        ClipError::NoTexts => {
            "give it the texts of a CLIP by `headspan align`, or run `headspan extract` and ask by images"
        }
        ClipError::AlignmentPart { .. } => "put the file back, or run `headspan align` again",
        ClipError::FixedByAlignment => "leave out --architecture, --quick-gelu and --image-size",
        ClipError::NoTextTower { .. } => "give a checkpoint of the whole model",
        ClipError::MissingFile { what: "configuration", .. } => {
            "for weights without a configuration, name the architecture: `--architecture ViT-B-32`, and `--quick-gelu` for OpenAI's weights; `headspan inspect PATH` says which architectures fit"
        }
        ClipError::SeveralWeights { .. } => "give the file of weights itself as --checkpoint",
        ClipError::Resolution { expected, .. } => {
            return Some(format!("to interpolate them as OpenCLIP does, add `--image-size {expected}`"));
        }
        ClipError::UnknownArchitecture { .. } => {
            let known: Vec<&str> = architectures().collect();
            return Some(format!("known are {}; each may end with `-quickgelu`", known.join(", ")));
        }
        ClipError::NoShard { .. } | ClipError::NotInShard { .. } => "fetch all files of the weights again",
        ClipError::NoDevice { source: DeviceProblem::Cuda(CudaProblem::NoLibrary { .. }), .. } => {
            "`headspan doctor` says what CUDA lacks; PyTorch's packages have cuBLASLt and NVRTC, if its environment is active; `--device cpu` works everywhere"
        }
        ClipError::NoDevice { .. } => "`headspan doctor` lists the devices; `--device cpu` works everywhere",
        ClipError::Precision { precision: Precision::Float16, .. } => {
            "set `images.precision` to `float32`, or to `bfloat16` if the device has it"
        }
        ClipError::Precision { .. } => "set `images.precision` to `float32`",
        _ => return None,
    };
    Some(hint.to_owned())
}
