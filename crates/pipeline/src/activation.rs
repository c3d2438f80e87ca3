//! A wrong activation is the error that nothing shows: everything runs, and all results are subtly wrong.

use std::{io::Read, path::Path};

use headspan_model::Activation;
use sha2::{Digest, Sha256};

use crate::{
    error::Result,
    registry::{ModelChoice, ModelSource},
};

/// Published files that are known by the beginning of their SHA-256: OpenAI's, and those of OpenCLIP's releases, which carry it in
/// their names. With what they are, and whether they have `QuickGELU`.
const PUBLISHED: [(&str, &str, bool); 12] = [
    ("40d36571", "ViT-B/32 by OpenAI", true),
    ("5806e77c", "ViT-B/16 by OpenAI", true),
    ("b8cca3fd", "ViT-L/14 by OpenAI", true),
    ("3035c92b", "ViT-L/14@336px by OpenAI", true),
    ("d867053b", "ViT-B/32 of LAION-400M, epoch 31", true),
    ("46683a32", "ViT-B/32 of LAION-400M, epoch 32", true),
    ("00efa78f", "ViT-B/16 of LAION-400M, epoch 31", false),
    ("55e67d44", "ViT-B/16 of LAION-400M, epoch 32", false),
    ("8fb26589", "ViT-B/16 plus of LAION-400M, epoch 31", false),
    ("699c4b84", "ViT-B/16 plus of LAION-400M, epoch 32", false),
    ("69988bb6", "ViT-L/14 of LAION-400M, epoch 31", false),
    ("3d133497", "ViT-L/14 of LAION-400M, epoch 32", false),
];

/// Words in the names of files and models that were trained with `QuickGELU`.
const QUICK: [&str; 5] = ["quickgelu", "quick_gelu", "openai", "metaclip", "dfn"];

fn name(quick_gelu: bool) -> &'static str {
    if quick_gelu { "QuickGELU" } else { "GELU" }
}

fn other(quick_gelu: bool) -> &'static str {
    if quick_gelu { "`--quick-gelu=false`" } else { "`--quick-gelu`" }
}

/// Why the activation of a model may be wrong, with what to do; none where somebody said which it is and nothing speaks against it.
pub(crate) fn doubt(choice: &ModelChoice, weights: &Path, activation: Activation) -> Result<Option<String>> {
    let Activation { quick_gelu, is_stated, .. } = activation;
    let used = name(quick_gelu);
    if let ModelSource::Hub(model) = &choice.source {
        let known = model.activation.eq_ignore_ascii_case("QuickGELU");
        let differs = known != quick_gelu;
        return Ok(differs.then(|| {
            format!(
                "model `{}` was trained with {}, and {used} is used; results are wrong if that is not meant",
                model.id,
                name(known)
            )
        }));
    }
    let shown = weights.display();
    if let Some((what, known)) = published(weights)? {
        return Ok((known != quick_gelu).then(|| {
            format!(
                "`{shown}` is the published {what}, which was trained with {}, and {used} is used: results are wrong; set {}",
                name(known),
                other(quick_gelu)
            )
        }));
    }
    if is_stated {
        return Ok(None);
    }
    if !quick_gelu && let Some(word) = hint(choice, weights) {
        return Ok(Some(format!(
            "`{shown}`: the name says `{word}`, whose weights were trained with QuickGELU, and no configuration names the activation, so \
             that {used} is used; results are wrong if that is not meant; set {}",
            other(quick_gelu)
        )));
    }
    let default = if quick_gelu { "transformers' default" } else { "OpenCLIP's default" };
    Ok(Some(format!(
        "the activation of `{shown}` is assumed to be {used}, {default}, as no configuration names it; if the model was trained with \
         {}, set {}",
        name(!quick_gelu),
        other(quick_gelu)
    )))
}

/// What a file is, if it is a published one. Published under these hashes are files of PyTorch only, so that others are not read.
fn published(weights: &Path) -> Result<Option<(&'static str, bool)>> {
    let endings = ["pt", "pth", "bin", "ckpt"];
    if !weights.extension().is_some_and(|ending| endings.iter().any(|known| ending.eq_ignore_ascii_case(known))) {
        return Ok(None);
    }
    let hash = sha256_file(weights)?;
    Ok(PUBLISHED.iter().find(|(begin, ..)| hash.starts_with(begin)).map(|(_, what, quick)| (*what, *quick)))
}

/// SHA-256 of a file in hexadecimal digits.
fn sha256_file(path: &Path) -> Result<String> {
    const PIECE: usize = 1 << 20;
    let mut file = fs_err::File::open(path)?;
    let (mut hasher, mut piece) = (Sha256::new(), vec![0; PIECE]);
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hasher.update(&piece[..read]);
    }
}

/// The word in the names of a model, its folder or its file that speaks for `QuickGELU`.
fn hint(choice: &ModelChoice, weights: &Path) -> Option<&'static str> {
    let folder = weights.parent().and_then(Path::file_name);
    let names = [Some(std::ffi::OsStr::new(&choice.id)), weights.file_name(), folder];
    let names: Vec<String> =
        names.into_iter().flatten().map(|name: &std::ffi::OsStr| name.to_string_lossy().to_lowercase()).collect();
    QUICK.into_iter().find(|word| names.iter().any(|name| name.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSUMED: Activation = Activation { quick_gelu: false, tanh: false, is_stated: false };

    fn told(id: &str, file: &str, activation: Activation) -> Option<String> {
        let choice = ModelChoice { id: id.to_owned(), source: ModelSource::Folder("folder".into()) };
        doubt(&choice, Path::new(file), activation).expect("no file is read")
    }

    #[test]
    fn what_was_assumed_is_told_with_the_reason() {
        let text = told("mine", "folder/model.safetensors", ASSUMED).unwrap_or_default();
        assert!(text.contains("assumed to be GELU") && text.contains("set `--quick-gelu`"), "{text}");
        let text =
            told("mine", "folder/model.safetensors", Activation { quick_gelu: true, ..ASSUMED }).unwrap_or_default();
        assert!(text.contains("assumed to be QuickGELU") && text.contains("--quick-gelu=false"), "{text}");
    }

    #[test]
    fn names_speak_for_quick_gelu_only_where_nobody_said_which() {
        for (id, file) in [
            ("ViT-B-32_openai", "folder/model.safetensors"),
            ("mine", "metaclip_b32/model.safetensors"),
            ("mine", "folder/vit_b_32-quickgelu.safetensors"),
        ] {
            let text = told(id, file, ASSUMED).unwrap_or_default();
            assert!(text.contains("the name says"), "{id} {file}: {text}");
            assert_eq!(told(id, file, Activation { is_stated: true, ..ASSUMED }), None);
        }
    }
}
