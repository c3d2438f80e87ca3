//! Many scenes on one picture, to look at.

use crate::{
    dataset::{SceneError, drawable},
    world::World,
};

/// Pixels between two pictures of a sheet.
const GAP: usize = 3;

/// Scenes 0 to `rows · columns` side by side on white: RGB, 3 bytes a pixel, with its width and height. Errors if
/// pictures of this size cannot be drawn.
pub fn contact_sheet(world: &World, rows: usize, columns: usize) -> Result<(Vec<u8>, usize, usize), SceneError> {
    drawable(world)?;
    let side = world.pixels as usize;
    let (width, height) = (columns * (side + GAP) + GAP, rows * (side + GAP) + GAP);
    let mut sheet = vec![255_u8; width * height * 3];
    for (index, place) in (0..rows * columns).map(|index| (index as u64, (index / columns, index % columns))) {
        let scene = world.scene(index);
        let (top, left) = (GAP + place.0 * (side + GAP), GAP + place.1 * (side + GAP));
        for (row, pixels) in scene.image.chunks_exact(3 * side).enumerate() {
            let start = ((top + row) * width + left) * 3;
            sheet[start..start + 3 * side].copy_from_slice(pixels);
        }
    }
    Ok((sheet, width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scene_has_its_place() -> Result<(), SceneError> {
        let world = World { pixels: 32, ..World::default() };
        let (sheet, width, height) = contact_sheet(&world, 2, 3)?;
        assert_eq!((width, height), (3 * 35 + 3, 2 * 35 + 3));
        let first_row_of_last = ((3 + 35) * width + 3 + 2 * 35) * 3;
        assert_eq!(sheet[first_row_of_last..first_row_of_last + 96], world.scene(5).image[..96]);
        Ok(())
    }

    #[test]
    fn pictures_of_no_size_are_refused() {
        for pixels in [0, 31, 513, 5_000] {
            let refused = contact_sheet(&World { pixels, ..World::default() }, 6, 12);
            assert!(matches!(refused, Err(SceneError::Pixels { pixels: found }) if found == pixels), "{pixels}");
        }
    }
}
