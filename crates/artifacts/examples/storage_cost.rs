//! What activations cost on disk, for `benches/storage.py`; prints a JSON object a line.
//!
//! - `storage_cost layouts RUNS DATASET MODEL OUT ROUNDS`: all activations of a finished run in one file of each layout, in turn:
//!   size, and seconds of a write to the disk (synced), of reading everything and of reading one head's column;
//! - `storage_cost geometries OUT`: bytes an image as headspan stores it, for the models' geometries, from 1,024 rows.

use std::{error::Error, hint::black_box, io::Write, path::Path, sync::Arc, time::Instant};

use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, StringArray, UInt64Array, cast::AsArray};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema};
use headspan_artifacts::{
    ActivationBatch, ActivationShape, AtomicFile, HeadId, PartReader, PartWriter, RunDirectory, RunId,
    activation_schema, write_atomic,
};
use parquet::{
    arrow::{ArrowWriter, ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, Encoding, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties},
    schema::types::ColumnPath,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Number type, encoding and compression of the vectors.
#[derive(Debug, Clone, Copy)]
struct Layout {
    name: &'static str,
    half: bool,
    split: bool,
    compression: Compression,
}

fn layouts() -> Outcome<Vec<Layout>> {
    let zstd = |level| ZstdLevel::try_new(level).map(Compression::ZSTD);
    let compressions = [
        ("none", Compression::UNCOMPRESSED),
        ("lz4", Compression::LZ4_RAW),
        ("zstd 1", zstd(1)?),
        ("zstd 3", zstd(3)?),
    ];
    let mut all = Vec::new();
    for half in [false, true] {
        for split in [false, true] {
            all.extend(compressions.map(|(name, compression)| Layout { name, half, split, compression }));
        }
    }
    Ok(all)
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["layouts", runs, dataset, model, out, rounds] => {
            let run = RunDirectory::at(Path::new(runs), &RunId::new(dataset, model)?);
            compare(&run, Path::new(out), rounds.parse()?)
        }
        ["geometries", out] => geometries(Path::new(out)),
        _ => Err("storage_cost layouts RUNS DATASET MODEL OUT ROUNDS, or storage_cost geometries OUT".into()),
    }
}

#[expect(clippy::print_stdout, reason = "its figures are all that it is for")]
fn print(value: &serde_json::Value) {
    println!("{value}");
}

fn compare(run: &RunDirectory, out: &Path, rounds: usize) -> Outcome<()> {
    let mut all = ActivationBatch::default();
    let mut shape = ActivationShape { heads: Vec::new(), head_dim: 0, d: 0 };
    for path in run.parts()? {
        let part = PartReader::open(&path)?;
        shape = part.shape().clone();
        all.append(part.read(&shape.heads, true)?);
    }
    let file = out.join("activations.parquet");
    let head = *shape.heads.get(shape.heads.len() / 2).ok_or("the run has no heads")?;
    let numbers = 3 + shape.d + shape.heads.len() * shape.head_dim;
    print(
        &serde_json::json!({"images": all.len(), "heads": shape.heads.len(), "head_dim": shape.head_dim, "d": shape.d,
        "raw": all.len() * (8 + 4 * numbers)}),
    );
    let single = batch(run.id(), &shape, all.clone())?;
    let halved = to_half(&single)?;
    for _round in 0..rounds {
        let copy = all.clone();
        let begun = Instant::now();
        let mut writer = PartWriter::create(&file, run.id(), "bench", &shape)?;
        writer.write(copy)?;
        writer.commit()?;
        report("headspan", false, false, begun.elapsed().as_secs_f64(), &file, &head.to_string())?;
        let size = fs_err::metadata(&file)?.len() as usize;
        plain(&file, size)?;
        for layout in layouts()? {
            let begun = Instant::now();
            write(&file, if layout.half { &halved } else { &single }, layout)?;
            let seconds = begun.elapsed().as_secs_f64();
            report(layout.name, layout.half, layout.split, seconds, &file, &head.to_string())?;
        }
    }
    Ok(())
}

/// The floor of a write: as many bytes, synced and renamed in the same way, without a format.
fn plain(file: &Path, size: usize) -> Outcome<()> {
    let bytes = vec![0x5a_u8; size];
    let begun = Instant::now();
    write_atomic(file, &bytes)?;
    print(&serde_json::json!({"name": "plain file", "bytes": size, "write": begun.elapsed().as_secs_f64()}));
    Ok(())
}

fn report(name: &str, half: bool, split: bool, write: f64, file: &Path, column: &str) -> Outcome<()> {
    let begun = Instant::now();
    read(file, None)?;
    let whole = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    read(file, Some(column))?;
    let column = begun.elapsed().as_secs_f64();
    print(&serde_json::json!({"name": name, "half": half, "split": split, "bytes": fs_err::metadata(file)?.len(),
        "write": write, "whole": whole, "column": column}));
    Ok(())
}

fn batch(run: &RunId, shape: &ActivationShape, all: ActivationBatch) -> Outcome<RecordBatch> {
    let schema = Arc::new(activation_schema(shape));
    let constant = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; all.image_index.len()])) };
    let number = |values: Vec<f32>| -> ArrayRef { Arc::new(Float32Array::from(values)) };
    let mut columns = vec![
        constant(run.model()),
        constant(run.dataset()),
        Arc::new(UInt64Array::from(all.image_index)) as ArrayRef,
        number(all.inv_scale),
        number(all.mean_scale),
        number(all.inv_norm),
    ];
    let vectors = std::iter::once(all.representation).chain(all.heads);
    for (values, field) in vectors.zip(schema.fields().iter().skip(6)) {
        columns.push(list(field, number(values))?);
    }
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn list(field: &Field, values: ArrayRef) -> Outcome<ArrayRef> {
    let DataType::FixedSizeList(item, length) = field.data_type() else { return Err("a vector was expected".into()) };
    Ok(Arc::new(FixedSizeListArray::try_new(Arc::clone(item), *length, values, None)?))
}

/// The same with vectors of 16 bits; scalars keep theirs.
fn to_half(single: &RecordBatch) -> Outcome<RecordBatch> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in single.schema().fields().iter().zip(single.columns()) {
        let DataType::FixedSizeList(_, length) = field.data_type() else {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
            continue;
        };
        let item = Arc::new(Field::new("item", DataType::Float16, false));
        let field = Field::new(field.name(), DataType::FixedSizeList(item, *length), false);
        columns.push(list(&field, cast(column.as_fixed_size_list().values(), &DataType::Float16)?)?);
        fields.push(Arc::new(field));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Columns without dictionary and, on vectors, without statistics, in one row group, as the program writes them.
fn write(file: &Path, batch: &RecordBatch, layout: Layout) -> Outcome<()> {
    let mut properties =
        WriterProperties::builder().set_compression(layout.compression).set_max_row_group_row_count(None);
    for field in batch.schema().fields() {
        if let DataType::FixedSizeList(item, _) = field.data_type() {
            let path = ColumnPath::new(vec![field.name().clone(), "list".to_owned(), item.name().clone()]);
            let encoding = if layout.split { Encoding::BYTE_STREAM_SPLIT } else { Encoding::PLAIN };
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path.clone(), encoding)
                .set_column_statistics_enabled(path, EnabledStatistics::None);
        }
    }
    let mut writer = ArrowWriter::try_new(AtomicFile::create(file)?, batch.schema(), Some(properties.build()))?;
    writer.write(batch)?;
    let mut inner = writer.into_inner()?;
    inner.flush()?;
    Ok(inner.commit()?)
}

/// Everything, or one column, into Arrow arrays; from memory if the system still has the file there.
fn read(file: &Path, column: Option<&str>) -> Outcome<()> {
    let file = fs_err::File::open(file)?.into_parts().0;
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    if let Some(column) = column {
        let position = builder.schema().fields().iter().position(|field| field.name() == column);
        let mask = ProjectionMask::roots(builder.parquet_schema(), [position.ok_or("no such column")?]);
        builder = builder.with_projection(mask);
    }
    let rows = builder.metadata().file_metadata().num_rows().unsigned_abs() as usize;
    for batch in builder.with_batch_size(rows.max(1)).build()? {
        black_box(batch?);
    }
    Ok(())
}

fn geometries(out: &Path) -> Outcome<()> {
    const ROWS: usize = 1_024;
    let file = out.join("geometry.parquet");
    for (name, layers, per_layer, d) in [("ViT-B", 12_u32, 12_u32, 512), ("ViT-L-14", 24, 16, 768)] {
        let heads: Vec<HeadId> =
            (layers - 4..layers).flat_map(|layer| (0..per_layer).map(move |head| HeadId { layer, head })).collect();
        let numbers = |count: usize| -> Vec<f32> { (0..count).map(|i| (i % 997) as f32 / 997.0 - 0.5).collect() };
        let shape = ActivationShape { heads, head_dim: 64, d };
        let id = RunId::new("bench", name)?;
        let mut writer = PartWriter::create(&file, &id, "bench", &shape)?;
        writer.write(ActivationBatch {
            image_index: (0..ROWS as u64).collect(),
            inv_scale: numbers(ROWS),
            mean_scale: numbers(ROWS),
            inv_norm: numbers(ROWS),
            representation: numbers(ROWS * d),
            heads: shape.heads.iter().map(|_head| numbers(ROWS * 64)).collect(),
        })?;
        writer.commit()?;
        let counted = 8 + 4 * (3 + d + shape.heads.len() * 64);
        let dense = 4 * d * shape.heads.len();
        print(
            &serde_json::json!({"name": name, "heads": shape.heads.len(), "d": d, "counted": counted, "dense": dense,
            "all_layers": 4 * d * (layers * per_layer) as usize, "measured": fs_err::metadata(&file)?.len() as f64 / ROWS as f64}),
        );
    }
    Ok(())
}
