use std::{io::Write, path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use headspan_artifacts::{
    AtomicFile, HeadId, ImageRow, PartReader, ReadoutRow, RunDirectory, Table as RunTable, head_column, read_rows,
};
use headspan_headspace::Readout;
use headspan_query::meant_head;
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use rayon::prelude::*;

use crate::{
    cli::{ExportArgs, ExportFormat},
    commands::{UsageError, existing_run, placed, settings},
};

/// Writes the dense contributions of chosen heads to `r/|r|`, part by part.
pub(crate) fn export(arguments: &ExportArgs) -> Result<()> {
    let heads = heads(arguments)?;
    let format = format(arguments)?;
    let model = arguments.model.as_deref();
    let own = settings(&placed(&arguments.pipeline(), model)?, None)?;
    let run = existing_run(&own, model)?;
    let readouts = readouts(&run, &heads)?;
    let images: Vec<ImageRow> = read_rows(&run.table(RunTable::Images))?;
    let parts = run.parts_of(&images)?;
    if let Some(note) = run.kept()?.note() {
        tracing::warn!("{note}");
    }
    match format {
        ExportFormat::Parquet => to_parquet(&parts, &images, &readouts, &arguments.out),
        ExportFormat::Npy => to_npy(&parts, &readouts, &arguments.out),
    }
}

/// The heads in the order in which they were named.
fn heads(arguments: &ExportArgs) -> Result<Vec<HeadId>> {
    if arguments.layer.len() != arguments.head.len() {
        return Err(UsageError("give as many --layer as --head".to_owned()).into());
    }
    let pairs = arguments.layer.iter().zip(&arguments.head);
    let mut heads: Vec<HeadId> = pairs.map(|(layer, head)| HeadId { layer: *layer, head: *head }).collect();
    let listed = arguments.heads.join(",");
    for name in listed.split([',', ' ']).filter(|name| !name.is_empty()) {
        heads.push(name.to_ascii_uppercase().parse().map_err(|_no_head| {
            let message = format!("`{name}` is not a head such as L3.H5");
            match meant_head(name) {
                Some(head) => UsageError::hinted(message, format!("did you mean `{head}`?")),
                None => UsageError(message).into(),
            }
        })?);
    }
    if heads.is_empty() {
        return Err(UsageError("--heads names no head".to_owned()).into());
    }
    Ok(heads)
}

fn format(arguments: &ExportArgs) -> Result<ExportFormat> {
    let ending = arguments.out.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match (arguments.format, ending) {
        (Some(format), _) => Ok(format),
        (None, "parquet") => Ok(ExportFormat::Parquet),
        (None, "npy") => Ok(ExportFormat::Npy),
        _ => {
            Err(UsageError(format!("`{}`: end in .parquet or .npy, or give --format", arguments.out.display())).into())
        }
    }
}

fn readouts(run: &RunDirectory, heads: &[HeadId]) -> Result<Vec<Readout>> {
    let rows: Vec<ReadoutRow> = read_rows(&run.table(RunTable::Readout))
        .with_context(|| format!("`{}` has no finished extraction", run.path().display()))?;
    heads
        .iter()
        .map(|head| {
            let row = rows.iter().find(|row| row.head_id() == *head);
            let row = row.with_context(|| {
                let first = rows.first().map(ReadoutRow::head_id);
                let last = rows.last().map(ReadoutRow::head_id);
                let range = first.zip(last).map(|(first, last)| format!("{first} to {last}")).unwrap_or_default();
                format!("head {head} was not extracted; the run has {range}")
            })?;
            Ok(row.clone().into())
        })
        .collect()
}

/// Contributions of one part: image indices, and per head `[n, d]`.
fn contributions(part: &PartReader, readouts: &[Readout]) -> Result<(Vec<u64>, Vec<Vec<f32>>)> {
    let heads: Vec<HeadId> = readouts.iter().map(|readout| readout.head).collect();
    let batch = part.read(&heads, false)?;
    let dense = readouts
        .iter()
        .enumerate()
        .map(|(place, readout)| {
            (0..batch.len())
                .into_par_iter()
                .flat_map_iter(|image| readout.contribution(batch.u(place, image).as_slice()))
                .collect()
        })
        .collect();
    Ok((batch.image_index, dense))
}

fn to_parquet(parts: &[PartReader], images: &[ImageRow], readouts: &[Readout], out: &Path) -> Result<()> {
    let d = readouts.first().map_or(0, |readout| readout.d);
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let mut fields = vec![
        Field::new("image_index", DataType::UInt64, false),
        Field::new("image_id", DataType::Utf8, false),
        Field::new("activation", DataType::FixedSizeList(Arc::clone(&item), d as i32), false),
    ];
    if readouts.len() > 1 {
        fields.push(Field::new("layer", DataType::UInt32, false));
        fields.push(Field::new("head", DataType::UInt32, false));
    }
    let schema = Arc::new(Schema::new(fields));
    let properties =
        WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).set_dictionary_enabled(false);
    let mut writer = ArrowWriter::try_new(AtomicFile::create(out)?, Arc::clone(&schema), Some(properties.build()))?;
    for part in parts {
        let (indices, dense) = contributions(part, readouts)?;
        let id = |index| {
            images.binary_search_by_key(index, |row: &ImageRow| row.image_index).map(|at| images[at].image_id.as_str())
        };
        let ids: Vec<&str> = indices.iter().map(|index| id(index).unwrap_or_default()).collect();
        for (readout, values) in readouts.iter().zip(dense) {
            let list =
                FixedSizeListArray::try_new(Arc::clone(&item), d as i32, Arc::new(Float32Array::from(values)), None)?;
            let mut columns: Vec<ArrayRef> = vec![
                Arc::new(UInt64Array::from(indices.clone())),
                Arc::new(StringArray::from(ids.clone())),
                Arc::new(list),
            ];
            if readouts.len() > 1 {
                columns.push(Arc::new(UInt32Array::from(vec![readout.head.layer; indices.len()])));
                columns.push(Arc::new(UInt32Array::from(vec![readout.head.head; indices.len()])));
            }
            writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
        }
    }
    Ok(writer.into_inner()?.commit()?)
}

/// `[n, d]` for one head, `[heads, n, d]` for several; little-endian float32.
fn to_npy(parts: &[PartReader], readouts: &[Readout], out: &Path) -> Result<()> {
    let rows: u64 = parts.iter().map(|part| part.metadata().rows).sum();
    let Some(first) = readouts.first() else { bail!("no head was named") };
    let shape = match readouts.len() {
        1 => format!("({rows}, {})", first.d),
        heads => format!("({heads}, {rows}, {})", first.d),
    };
    let mut file = AtomicFile::create(out)?;
    file.write_all(&npy_header(&shape))?;
    for readout in readouts {
        tracing::debug!("writing {}", head_column(readout.head));
        for part in parts {
            let (_, dense) = contributions(part, std::slice::from_ref(readout))?;
            for value in dense.iter().flatten() {
                file.write_all(&value.to_le_bytes())?;
            }
        }
    }
    Ok(file.commit()?)
}

/// Version 1.0 of the format: magic, length, a Python literal padded to a multiple of 64.
fn npy_header(shape: &str) -> Vec<u8> {
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    let unpadded = 10 + text.len() + 1;
    text.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((text.len() as u16).to_le_bytes());
    header.extend(text.as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn npy_headers_are_padded() {
        let header = npy_header("(3, 4)");
        assert_eq!(header.len() % 64, 0);
        assert!(header.ends_with(b"\n"));
        assert_eq!(usize::from(header[8]) + 256 * usize::from(header[9]) + 10, header.len());
    }
}
