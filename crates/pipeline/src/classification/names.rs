//! Which classes there are, and how they are called.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use headspan_artifacts::ImageRow;
use headspan_images::{ClassList, is_local};

use crate::{
    error::{PipelineError, Result},
    provenance::Provenance,
    session::Session,
};

/// The classes of ImageNet, `wnid,name`.
const IMAGENET: &str = include_str!("../../../../data/classes/imagenet.csv");

/// A class: its identifier in the data set, and its name in texts.
pub(crate) type NamedClass = (String, String);

/// The classes of a run: of a class file where there is one, in its order; else those that its images have. Errors if there are none.
pub(crate) fn named_classes(session: &Session) -> Result<Vec<NamedClass>> {
    if let Some(file) = class_file(session)? {
        let list = ClassList::read(&file)?;
        return Ok(readable(list.ids().iter().cloned().zip(list.names().iter().cloned()).collect()));
    }
    let ids = ids_of(session.run().images());
    if ids.is_empty() {
        return Err(PipelineError::NoClasses { run: session.run().name() });
    }
    Ok(readable(ids.into_iter().map(|id| (id.clone(), id)).collect()))
}

/// The file that the settings name, else the one that the extraction read if it is still there.
fn class_file(session: &Session) -> Result<Option<PathBuf>> {
    if let Some(file) = &session.settings().data.classes {
        return Ok(Some(file.clone()));
    }
    let recorded = Provenance::of(session.record())?.data.and_then(|data| data.classes);
    Ok(recorded.filter(|file| !is_local(file) || file.is_file()))
}

/// Identifiers of the images' classes, each once: in the order of the class file that they were extracted with, else by name.
fn ids_of(images: &[ImageRow]) -> Vec<String> {
    let with_place = |row: &ImageRow| Some((row.class_index.unwrap_or(u32::MAX), row.class_id.clone()?));
    let found: BTreeSet<(u32, String)> = images.iter().filter_map(with_place).collect();
    found.into_iter().map(|(_, id)| id).collect()
}

/// Names as a text has them: of ImageNet's wnids those of its classes, and blanks for underscores, which are a file's.
fn readable(classes: Vec<NamedClass>) -> Vec<NamedClass> {
    let imagenet: BTreeMap<&str, &str> = IMAGENET.lines().filter_map(|line| line.split_once(',')).collect();
    let are_wnids = classes.iter().all(|(id, name)| id == name && imagenet.contains_key(id.as_str()));
    let named = |(id, name): NamedClass| {
        let name = if are_wnids { imagenet[id.as_str()].to_owned() } else { name.replace('_', " ") };
        (id, name)
    };
    classes.into_iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use headspan_artifacts::ImageStatus;

    use super::*;

    fn image(class_id: Option<&str>, class_index: Option<u32>) -> ImageRow {
        ImageRow {
            image_index: 0,
            image_id: "x".to_owned(),
            class_id: class_id.map(str::to_owned),
            class_index,
            width: 1,
            height: 1,
            status: ImageStatus::Ok,
            error: None,
        }
    }

    #[test]
    fn classes_stand_in_the_order_of_their_file_else_by_name() {
        let listed = [image(Some("b"), Some(0)), image(Some("a"), Some(1)), image(Some("b"), Some(0))];
        assert_eq!(ids_of(&listed), ["b", "a"]);
        assert_eq!(ids_of(&[image(Some("b"), None), image(None, None), image(Some("a"), None)]), ["a", "b"]);
        assert!(ids_of(&[image(None, None)]).is_empty());
    }

    #[test]
    fn wnids_have_the_names_of_imagenet_where_all_of_them_do() {
        assert_eq!(IMAGENET.lines().count(), 1_000);
        let same = |ids: &[&str]| ids.iter().map(|id| ((*id).to_owned(), (*id).to_owned())).collect::<Vec<_>>();
        let names = |ids: &[&str]| readable(same(ids)).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(names(&["n01440764", "n15075141"]), ["tench", "toilet paper"]);
        assert_eq!(names(&["n01440764", "polar_bear"]), ["n01440764", "polar bear"]);
    }
}
