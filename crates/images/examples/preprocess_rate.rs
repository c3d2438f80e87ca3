//! Our side of `benches/input_pipeline.py`: `preprocess_rate FOLDER` keeps the files of a folder in memory and answers each line
//! `all` of standard input with the seconds that decoding, resizing, cropping and normalising all of them took, on one thread.

use std::{
    error::Error,
    hint::black_box,
    io::{BufRead, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use headspan_images::{DecodeLimits, Preprocess, decode_rgb};

const PREPROCESS: Preprocess = Preprocess {
    size: 224,
    mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
    std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
};

#[expect(clippy::print_stdout, reason = "its answer")]
fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("preprocess_rate FOLDER")?;
    let mut paths = Vec::new();
    collect(Path::new(&folder), &mut paths)?;
    paths.sort();
    let files: Vec<Vec<u8>> = paths.iter().map(fs_err::read).collect::<Result<_, _>>()?;
    let mut pixels = vec![0.0; 3 * PREPROCESS.size.pow(2)];
    for line in std::io::stdin().lock().lines() {
        if line?.trim() != "all" {
            return Err("only `all` is understood".into());
        }
        let begun = Instant::now();
        for file in &files {
            PREPROCESS.apply(&decode_rgb(file, &DecodeLimits::default())?, &mut pixels);
            black_box(&pixels);
        }
        println!("{}", begun.elapsed().as_secs_f64());
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}
