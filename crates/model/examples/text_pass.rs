//! Our side of `benches/texts.py`: the text tower of a checkpoint on the CPU, `text_pass CHECKPOINT`. It answers each line of standard input
//! with seconds:
//!
//! - `texts FILE`: features of the file's lines, tokens included.
//! - `features FILE OUT`: the same, and writes them as float32, `[texts, d]`, to `OUT`, which is not timed.

use std::{
    error::Error,
    io::{BufRead, Write},
    path::Path,
    time::Instant,
};

use headspan_model::{Checkpoint, LoadedModel, ModelConfig, OpenDevice, TokenBatch, Tokenizer};

/// The program's own, as in `crates/headspan/src/main.rs`: the pass has the same speed here as there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Texts of one call, as the texts stage hands them over on two cores.
const TEXTS: usize = 128;

#[expect(clippy::print_stdout, reason = "its answer")]
fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder] = &arguments[..] else { return Err("text_pass CHECKPOINT".into()) };
    let folder = Path::new(folder);
    let config = ModelConfig::read(&folder.join("open_clip_config.json"))?;
    let checkpoint = Checkpoint::open(&folder.join("open_clip_model.safetensors"))?;
    let model = LoadedModel::for_queries(&checkpoint, &config, OpenDevice::cpu())?;
    let limits = config.text.as_ref().ok_or("the model has no texts")?;
    let tokenizer = Tokenizer::read(&folder.join("tokenizer.json"), limits.context_length, limits.vocab_size)?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let begun = Instant::now();
        let seconds = match words[..] {
            ["texts", file] => {
                features(&model, &tokenizer, file)?;
                begun.elapsed().as_secs_f64()
            }
            ["features", file, out] => {
                let features = features(&model, &tokenizer, file)?;
                let seconds = begun.elapsed().as_secs_f64();
                fs_err::write(out, features.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<_>>())?;
                seconds
            }
            _ => return Err(format!("`{line}` is not understood").into()),
        };
        println!("{seconds}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// As the texts stage has them: short texts beside short texts.
fn features(model: &LoadedModel, tokenizer: &Tokenizer, file: &str) -> Outcome<Vec<f32>> {
    let text = fs_err::read_to_string(file)?;
    let tokens = text.lines().map(|line| Ok(tokenizer.encode(line)?.ids)).collect::<Outcome<Vec<_>>>()?;
    let mut order: Vec<usize> = (0..tokens.len()).collect();
    order.sort_by_key(|index| tokens[*index].len());
    let mut features = vec![Vec::new(); tokens.len()];
    for some in order.chunks(TEXTS) {
        let ids: Vec<Vec<u32>> = some.iter().map(|index| tokens[*index].clone()).collect();
        let values = model.encode_texts(&TokenBatch::new(&ids))?;
        for (index, row) in some.iter().zip(values.chunks_exact(values.len() / some.len())) {
            features[*index] = row.to_vec();
        }
    }
    Ok(features.concat())
}
