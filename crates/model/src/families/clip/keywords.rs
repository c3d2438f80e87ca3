//! Arguments that OpenCLIP's configurations give to the layers of a tower.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{ClipError, Result};

/// Whether `act_kwargs` asks for GELU's approximation by `tanh`.
pub(super) fn is_tanh(path: &Path, section: &str, keys: &Map<String, Value>) -> Result<bool> {
    let Some(kwargs) = keys.get("act_kwargs").filter(|kwargs| !kwargs.is_null()) else { return Ok(false) };
    match kwargs.as_object().map(|kwargs| (kwargs.len(), kwargs.get("approximate").and_then(Value::as_str))) {
        Some((0, _) | (1, Some("none"))) => Ok(false),
        Some((1, Some("tanh"))) => Ok(true),
        _ => Err(ClipError::Unsupported {
            path: path.to_owned(),
            what: format!("{section}.act_kwargs = {kwargs}"),
            why: "the supported argument is `approximate`: `none` or `tanh`",
        }),
    }
}

/// The LayerNorms' epsilon, PyTorch's default unless `norm_kwargs` says another.
pub(super) fn epsilon(path: &Path, section: &str, keys: &Map<String, Value>) -> Result<f64> {
    let Some(kwargs) = keys.get("norm_kwargs").filter(|kwargs| !kwargs.is_null()) else { return Ok(1e-5) };
    match kwargs.as_object().map(|kwargs| (kwargs.len(), kwargs.get("eps").and_then(Value::as_f64))) {
        Some((0, _)) => Ok(1e-5),
        Some((1, Some(epsilon))) => Ok(epsilon),
        _ => Err(ClipError::Unsupported {
            path: path.to_owned(),
            what: format!("{section}.norm_kwargs = {kwargs}"),
            why: "the supported argument is `eps`",
        }),
    }
}
