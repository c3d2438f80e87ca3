use std::{io::Write, path::Path};

use anyhow::{Context, Result};
use headspan_artifacts::AtomicFile;
use headspan_scenes::{World, contact_sheet, write_dataset};

use crate::{cli::ScenesArgs, commands::UsageError, console::Console};

/// Renders scenes as a data set, or on one picture.
pub(crate) fn scenes(arguments: &ScenesArgs, console: &Console<'_>) -> Result<()> {
    let world = World {
        seed: arguments.seed,
        pixels: arguments.pixels,
        combinations: arguments.combinations.into(),
        correlation: arguments.correlation,
        ease: arguments.ease,
        bystanders: arguments.bystanders,
        captions: arguments.captions,
        ..World::default()
    };
    for (flag, share) in [("correlation", world.correlation), ("ease", world.ease), ("bystanders", world.bystanders)] {
        super::share(flag, share)?;
    }
    if let Some(path) = &arguments.sheet {
        return sheet(&world, path, console);
    }
    let Some(out) = &arguments.out else {
        return Err(UsageError("where to? give --out DIR, or --sheet FILE.png".to_owned()).into());
    };
    let files = write_dataset(&world, arguments.scenes, arguments.format.into(), out)
        .with_context(|| format!("rendering into `{}`", out.display()))?;
    for path in [files.images, files.scenes, files.classes, files.descriptions] {
        console.print(&path.display().to_string())?;
    }
    Ok(())
}

fn sheet(world: &World, path: &Path, console: &Console<'_>) -> Result<()> {
    let (pixels, width, height) = contact_sheet(world, 6, 12)?;
    let mut file = AtomicFile::create(path)?;
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    file.flush()?;
    file.commit()?;
    console.print(&path.display().to_string())
}
