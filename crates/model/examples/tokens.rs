//! Compares our tokens with OpenCLIP's on the texts that `tools/reference/tokens.py corpus` wrote, and prints those that differ.
//!
//! Usage: tokens CORPUS TOKENIZER

use std::io::Write;

use headspan_model::Tokenizer;
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    text: String,
    cleaned: String,
    ids: Vec<u32>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(corpus), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: tokens CORPUS TOKENIZER".into());
    };
    let tokenizer = Tokenizer::read(file.as_ref(), 77, 49_408)?;
    let (mut texts, mut cleaned, mut tokens) = (0, 0, 0);
    let mut out = std::io::stdout().lock();
    for line in fs_err::read_to_string(corpus)?.lines() {
        let row: Row = serde_json::from_str(line)?;
        texts += 1;
        let own = headspan_cleaning::clean(&row.text);
        let found = tokenizer.encode(&row.text)?.ids;
        // What stands after the first end token is never looked at.
        let end = found.iter().position(|id| *id == 49_407).map_or(found.len(), |end| end + 1);
        cleaned += usize::from(own != row.cleaned);
        tokens += usize::from(found[..end] != row.ids);
        if own != row.cleaned || found[..end] != row.ids {
            writeln!(out, "{:?}\n  cleaned {own:?}\n   wanted {:?}", row.text, row.cleaned)?;
        }
    }
    writeln!(out, "of {texts} texts, {cleaned} are cleaned otherwise and {tokens} have other tokens")?;
    Ok(())
}
