//! GIF; the first frame of an animation, on the canvas.

use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use crate::decoding::{
    decode::{DecodeLimits, RgbImage8},
    error::ImageError,
    formats::Format,
};

/// Those of the canvas, which a first frame that reaches beyond it widens.
pub(super) fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut options = options();
    options.skip_frame_decoding(true);
    let mut decoder = options.read_info(bytes).ok()?;
    let canvas = (u32::from(decoder.width()), u32::from(decoder.height()));
    let Ok(Some(frame)) = decoder.next_frame_info() else { return Some(canvas) };
    let (right, bottom) =
        (u32::from(frame.left) + u32::from(frame.width), u32::from(frame.top) + u32::from(frame.height));
    Some((canvas.0.max(right), canvas.1.max(bottom)))
}

fn options() -> DecodeOptions {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.allow_unknown_blocks(true);
    options
}

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage8, ImageError> {
    let mut options = options();
    options.set_memory_limit(NonZeroU64::new(limits.max_pixels).map_or(MemoryLimit::Unlimited, MemoryLimit::Bytes));
    let mut decoder = options.read_info(bytes).map_err(failed)?;
    let frame = decoder.next_frame_info().map_err(failed)?;
    let frame = frame.ok_or_else(|| ImageError::corrupt(Format::Gif, "it has no image"))?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (frame_width, frame_height) = (usize::from(frame.width), usize::from(frame.height));
    let around = usize::from(frame.transparent.unwrap_or(0));
    let own = frame.palette.clone();
    // A frame that reaches beyond the canvas widens it, as in Pillow.
    let width = usize::from(decoder.width()).max(left + frame_width);
    let height = usize::from(decoder.height()).max(top + frame_height);
    limits.check(Format::Gif, width as u32, height as u32)?;
    let colors = colors(own.as_deref().or(decoder.global_palette()));
    let mut indices = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut indices).map_err(failed)?;
    let mut data = colors[around].repeat(width * height);
    for (row, indices) in indices.chunks_exact(frame_width.max(1)).enumerate() {
        let begin = 3 * ((top + row) * width + left);
        for (pixel, index) in data[begin..].chunks_exact_mut(3).zip(indices) {
            pixel.copy_from_slice(&colors[usize::from(*index)]);
        }
    }
    Ok(RgbImage8 { width: width as u32, height: height as u32, data })
}

/// Colours of all indices. Pillow takes an image without colours, or with greys in their order, for a grey one; in others,
/// what the palette lacks is black.
fn colors(palette: Option<&[u8]>) -> [[u8; 3]; 256] {
    let palette = palette.unwrap_or_default();
    let grey = palette.chunks_exact(3).zip(0_u8..=255).all(|(color, grey)| color == [grey; 3]);
    std::array::from_fn(|index| match palette.get(3 * index..3 * index + 3) {
        Some(color) => [color[0], color[1], color[2]],
        None if grey => [index as u8; 3],
        None => [0; 3],
    })
}

fn failed(error: DecodingError) -> ImageError {
    match &error {
        DecodingError::Io(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImageError::truncated(Format::Gif)
        }
        DecodingError::Format(what) if what.to_string().contains("no color table") => {
            ImageError::unsupported(Format::Gif, "no colour table")
        }
        _ => ImageError::corrupt(Format::Gif, error),
    }
}
