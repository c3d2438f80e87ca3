//! Scenes as a data set: images in one of three formats, and beside them all that is true of them.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{
    ArrayRef, BinaryArray, Int32Array, RecordBatch, StringArray, StructArray, UInt64Array,
    builder::{ListBuilder, StringBuilder},
};
use arrow_schema::{DataType, Field, Schema};
use headspan_artifacts::{AtomicFile, write_atomic};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use rayon::prelude::*;

use crate::{
    attributes::{Attribute, Attributes, Bystander, Kind},
    words::{categories, descriptions},
    world::{Scene, World},
};

/// Scenes of one tar or Parquet shard, and of one step of the table: what is in memory at once.
const SHARD: u64 = 1_000;

/// Why a data set was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SceneError {
    /// The operating system refused; the source names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A picture that the PNG library would not write.
    #[error("scene {index} cannot be written as PNG")]
    Png {
        /// Index of the scene.
        index: u64,
        /// What the library said.
        source: png::EncodingError,
    },
    /// A table that could not be written.
    #[error("`{path}` cannot be written")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the library said.
        source: parquet::errors::ParquetError,
    },
    /// Images that are there already, which would count among the new ones.
    #[error("`{folder}` is not empty, and its images would count as new ones")]
    Taken {
        /// The folder of images.
        folder: PathBuf,
    },
    /// Pictures of a size that no picture of this world has.
    #[error("pictures of {pixels} pixels cannot be drawn: expected 32 to 512")]
    Pixels {
        /// What was asked for.
        pixels: u32,
    },
}

type Result<T, E = SceneError> = std::result::Result<T, E>;

/// How the images are stored; `headspan extract` reads each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatasetFormat {
    /// A folder per kind.
    Folder,
    /// `WebDataset` tar shards: `.png`, `.cls` (class number) and `.txt` (full caption) of each scene.
    Webdataset,
    /// Parquet shards as Hugging Face stores them: `image` of `{bytes, path}`, `label`, `caption`.
    Parquet,
}

/// Where the parts of a data set were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetFiles {
    /// Images, in the format asked for.
    pub images: PathBuf,
    /// One row a scene: scene, `image_id` (as extraction names it), class, the attributes by category, captions, masks.
    pub scenes: PathBuf,
    /// Kinds in the order of their class indices, one a line.
    pub classes: PathBuf,
    /// The tagged pool: text, category, value.
    pub descriptions: PathBuf,
}

impl DatasetFiles {
    /// The parts of a data set in `folder`.
    pub fn below(folder: &Path) -> Self {
        Self {
            images: folder.join("images"),
            scenes: folder.join("scenes.parquet"),
            classes: folder.join("classes.txt"),
            descriptions: folder.join("descriptions.csv"),
        }
    }
}

/// Renders scenes 0 to `scenes` of a world on all cores and writes them below `folder`. The bytes depend on nothing but
/// the world, the number of scenes and the format. Errors if there are images already.
pub fn write_dataset(world: &World, scenes: u64, format: DatasetFormat, folder: &Path) -> Result<DatasetFiles> {
    drawable(world)?;
    let files = DatasetFiles::below(folder);
    fs_err::create_dir_all(&files.images)?;
    if fs_err::read_dir(&files.images)?.next().is_some() {
        return Err(SceneError::Taken { folder: files.images });
    }
    let kinds: String = Kind::ALL.iter().map(|kind| format!("{}\n", kind.name())).collect();
    write_atomic(&files.classes, kinds.as_bytes())?;
    write_atomic(&files.descriptions, descriptions_csv().as_bytes())?;
    let mut table = TableFile::create(&files.scenes, scenes_schema())?;
    for (shard, first) in (0..scenes).step_by(SHARD as usize).enumerate() {
        let indices = first..(first + SHARD).min(scenes);
        let drawn: Vec<Drawn> = indices.into_par_iter().map(|index| Drawn::new(world, index)).collect::<Result<_>>()?;
        let ids = match format {
            DatasetFormat::Folder => write_folder(&files.images, &drawn)?,
            DatasetFormat::Webdataset => write_tar(&files.images, shard, &drawn)?,
            DatasetFormat::Parquet => write_parquet(&files.images, shard, &drawn)?,
        };
        table.write(scenes_columns(&drawn, &ids))?;
    }
    table.commit()?;
    Ok(files)
}

/// Errors if pictures of this size cannot be drawn.
pub(crate) fn drawable(world: &World) -> Result<()> {
    if World::PIXELS.contains(&world.pixels) {
        return Ok(());
    }
    Err(SceneError::Pixels { pixels: world.pixels })
}

/// The tagged pool of this world as CSV: text, category, value.
fn descriptions_csv() -> String {
    // No word of this world has a comma or a quotation mark.
    let rows = descriptions().into_iter().map(|one| format!("{},{},{}\n", one.text, one.category, one.value));
    std::iter::once("text,category,value\n".to_owned()).chain(rows).collect()
}

/// A scene with its pictures as PNG.
struct Drawn {
    scene: Scene,
    image: Vec<u8>,
    mask: Vec<u8>,
    bystander_mask: Option<Vec<u8>>,
}

impl Drawn {
    fn new(world: &World, index: u64) -> Result<Self> {
        let scene = world.scene(index);
        let failed = |source| SceneError::Png { index, source };
        let image = encode(scene.pixels, png::ColorType::Rgb, &scene.image).map_err(failed)?;
        let mask = encode(scene.pixels, png::ColorType::Grayscale, &scene.mask).map_err(failed)?;
        let bystander_mask = match scene.bystander {
            Some(_) => Some(encode(scene.pixels, png::ColorType::Grayscale, &scene.bystander_mask).map_err(failed)?),
            None => None,
        };
        Ok(Self { scene, image, mask, bystander_mask })
    }

    fn class(&self) -> usize {
        self.scene.attributes.kind.index()
    }

    fn name(&self) -> String {
        format!("{:08}", self.scene.index)
    }
}

fn encode(side: u32, color: png::ColorType, pixels: &[u8]) -> std::result::Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

fn write_folder(images: &Path, drawn: &[Drawn]) -> Result<Vec<String>> {
    for kind in Kind::ALL {
        fs_err::create_dir_all(images.join(kind.name()))?;
    }
    let write = |one: &Drawn| {
        let id = format!("{}/{}.png", one.scene.attributes.kind.name(), one.name());
        fs_err::write(images.join(&id), &one.image)?;
        Ok(id)
    };
    drawn.iter().map(write).collect()
}

fn write_tar(images: &Path, shard: usize, drawn: &[Drawn]) -> Result<Vec<String>> {
    let shard_name = format!("shard-{shard:05}.tar");
    let mut archive = tar::Builder::new(AtomicFile::create(&images.join(&shard_name))?);
    let mut append = |name: String, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes)
    };
    let mut ids = Vec::with_capacity(drawn.len());
    for one in drawn {
        let key = one.name();
        append(format!("{key}.png"), &one.image)?;
        append(format!("{key}.cls"), one.class().to_string().as_bytes())?;
        append(format!("{key}.txt"), one.scene.full_caption.as_bytes())?;
        ids.push(format!("{shard_name}/{key}.png"));
    }
    archive.into_inner()?.commit()?;
    Ok(ids)
}

fn write_parquet(images: &Path, shard: usize, drawn: &[Drawn]) -> Result<Vec<String>> {
    let name = format!("part-{shard:05}.parquet");
    let path = images.join(&name);
    let names: Vec<String> = drawn.iter().map(|one| format!("{}.png", one.name())).collect();
    let image = StructArray::from(vec![
        (
            Arc::new(Field::new("bytes", DataType::Binary, true)),
            Arc::new(BinaryArray::from_iter_values(drawn.iter().map(|one| &one.image))) as ArrayRef,
        ),
        (Arc::new(Field::new("path", DataType::Utf8, true)), Arc::new(StringArray::from(names)) as ArrayRef),
    ]);
    let labels = Int32Array::from_iter_values(drawn.iter().map(|one| one.class() as i32));
    let captions = StringArray::from_iter_values(drawn.iter().map(|one| &one.scene.full_caption));
    let schema = Schema::new_with_metadata(
        vec![
            Field::new("image", DataType::Struct(image.fields().clone()), true),
            Field::new("label", DataType::Int32, true),
            Field::new("caption", DataType::Utf8, true),
        ],
        HashMap::from([("huggingface".to_owned(), hugging_face_metadata())]),
    );
    let mut table = TableFile::create(&path, Arc::new(schema))?;
    table.write(vec![Arc::new(image), Arc::new(labels), Arc::new(captions)])?;
    table.commit()?;
    Ok((0..drawn.len()).map(|row| format!("{name}/{row}")).collect())
}

fn hugging_face_metadata() -> String {
    let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    serde_json::json!({ "info": { "features": {
        "image": { "_type": "Image" },
        "label": { "_type": "ClassLabel", "names": names },
        "caption": { "_type": "Value", "dtype": "string" },
    } } })
    .to_string()
}

/// Schema of the table of what is true.
fn scenes_schema() -> Arc<Schema> {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let mut fields = vec![Field::new("scene", DataType::UInt64, false), text("image_id"), text("class_id")];
    fields.extend(categories().map(text));
    let caption = Arc::new(Field::new("item", DataType::Utf8, true));
    fields.extend([text("full_caption"), Field::new("captions", DataType::List(caption), false)]);
    fields.push(Field::new("mask", DataType::Binary, false));
    fields.push(Field::new("bystander", DataType::Utf8, true));
    fields.push(Field::new("bystander_mask", DataType::Binary, true));
    Arc::new(Schema::new(fields))
}

fn scenes_columns(drawn: &[Drawn], ids: &[String]) -> Vec<ArrayRef> {
    let text = |words: Vec<&str>| Arc::new(StringArray::from(words)) as ArrayRef;
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(drawn.iter().map(|one| one.scene.index))),
        text(ids.iter().map(String::as_str).collect()),
        text(drawn.iter().map(|one| one.scene.attributes.kind.name()).collect()),
    ];
    for category in 0..Attributes::CATEGORIES {
        columns.push(text(drawn.iter().map(|one| one.scene.attributes.table()[category].1).collect()));
    }
    columns.push(text(drawn.iter().map(|one| one.scene.full_caption.as_str()).collect()));
    let mut captions = ListBuilder::new(StringBuilder::new());
    for one in drawn {
        captions.append_value(one.scene.captions.iter().map(Some));
    }
    columns.push(Arc::new(captions.finish()));
    columns.push(Arc::new(BinaryArray::from_iter_values(drawn.iter().map(|one| &one.mask))));
    let bystanders = drawn.iter().map(|one| one.scene.bystander.as_ref().map(Bystander::name));
    columns.push(Arc::new(bystanders.collect::<StringArray>()));
    let masks = drawn.iter().map(|one| one.bystander_mask.as_deref());
    columns.push(Arc::new(masks.collect::<BinaryArray>()));
    columns
}

/// A Parquet file that appears when it is complete; one row group a shard.
struct TableFile {
    path: PathBuf,
    schema: Arc<Schema>,
    writer: ArrowWriter<AtomicFile>,
}

impl TableFile {
    fn create(path: &Path, schema: Arc<Schema>) -> Result<Self> {
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let writer = ArrowWriter::try_new(AtomicFile::create(path)?, Arc::clone(&schema), Some(properties))
            .map_err(|source| SceneError::Parquet { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), schema, writer })
    }

    fn write(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let failed = |source| SceneError::Parquet { path: self.path.clone(), source };
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|source| failed(source.into()))?;
        self.writer.write(&batch).map_err(failed)?;
        self.writer.flush().map_err(failed)
    }

    fn commit(self) -> Result<()> {
        let file = self.writer.into_inner().map_err(|source| SceneError::Parquet { path: self.path, source })?;
        Ok(file.commit()?)
    }
}
