//! The column that somebody meant who named another.

/// Names that other programs give to the columns that ours call `path`, `class`, `image` and `label`.
const OTHER_NAMES: [(&str, &[&str]); 4] = [
    (
        "path",
        &[
            "filepath",
            "file_path",
            "filename",
            "file_name",
            "image_path",
            "imagepath",
            "img_path",
            "image",
            "img",
            "file",
            "images",
            "image_file",
            "image_name",
            "paths",
            "relative_path",
            "picture",
            "photo",
        ],
    ),
    (
        "class",
        &["label", "category", "class_name", "classname", "class_id", "labels", "target", "kind", "species", "y"],
    ),
    ("image", &["img", "images", "picture", "jpg", "png", "bytes", "image_bytes", "photo"]),
    ("label", &["labels", "class", "category", "target", "fine_label", "label_id"]),
];
/// How alike two names must be to be mistaken for each other, from 0 to 1.
const ALIKE: f64 = 0.8;

/// The column that is most likely meant by `column`; none if all are too different.
pub(super) fn similar(column: &str, found: &[&str]) -> Option<String> {
    let plain = |name: &str| name.trim().to_lowercase();
    let asked = plain(column);
    let known = OTHER_NAMES.iter().find(|(name, _others)| *name == asked);
    let known = known.map_or_else(Default::default, |(_name, others)| *others);
    let by_case = found.iter().find(|name| plain(name) == asked);
    let by_habit = || known.iter().find_map(|other| found.iter().find(|name| plain(name) == *other));
    let by_spelling = || {
        let likeness = |name: &str| strsim::jaro_winkler(&plain(name), &asked);
        let closest = found.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
        closest.filter(|name| likeness(name) >= ALIKE)
    };
    by_case.or_else(by_habit).or_else(by_spelling).map(|name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn habits_come_before_spelling() {
        assert_eq!(similar("path", &["title", "filepath"]).as_deref(), Some("filepath"));
        assert_eq!(similar("path", &["Path", "filepath"]).as_deref(), Some("Path"));
        assert_eq!(similar("path", &["url", "pth"]).as_deref(), Some("pth"));
        assert_eq!(similar("label", &["caption", "text"]), None);
        assert_eq!(similar("pixels", &["pixel", "url"]).as_deref(), Some("pixel"));
    }
}
