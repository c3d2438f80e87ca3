//! The pickle of a module's attributes, read as data. TorchScript writes few of the instructions that pickles have; any other ends the
//! reading.

use std::collections::BTreeMap;

use super::machine::Machine;

/// A storage that a tensor is a view of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    /// PyTorch's class, such as `HalfStorage`.
    pub(super) class: String,
    /// Its name in the archive.
    pub(super) key: String,
}

/// A tensor: a view of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Array {
    pub(super) storage: Storage,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// Values refer to each other by their place in the list of all.
pub(super) type Place = usize;

#[derive(Debug, Clone)]
pub(super) enum Value {
    Whole(i64),
    Text(String),
    /// Module and name.
    Class(String),
    List(Vec<Place>),
    Dictionary(Vec<(Place, Place)>),
    /// An object of a class of the archive's program, with its attributes once they are there.
    Object(Option<Place>),
    Storage(Storage),
    Array(Array),
    Other,
}

/// Levels of objects in one another, two for a module.
const DEEPEST: usize = 128;

/// Longest name of a tensor.
const LONGEST_NAME: usize = 4096;

/// Bytes of the names of all tensors. Those of a ViT-L/14 have some 30,000.
const MOST_NAMES: usize = 16 << 20;

const LONG_NAMES: &str = "the names of its tensors have more than 16 MiB";
const LONG_NAME: &str = "a tensor in it has a name of more than 4096 bytes";
const CIRCLE: &str = "its modules hold each other";

pub(super) type Result<T, E = &'static str> = std::result::Result<T, E>;

pub(super) struct Pickle {
    values: Vec<Value>,
    root: Place,
}

impl Pickle {
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let (values, root) = Machine::new(bytes).run()?;
        Ok(Self { values, root })
    }

    /// All tensors by name.
    pub(super) fn arrays(&self) -> Result<BTreeMap<String, Array>> {
        let mut walk = Walk { values: self.values.len() * 4, names: MOST_NAMES, found: BTreeMap::new() };
        self.collect(self.root, DEEPEST, &mut Vec::new(), &mut walk)?;
        Ok(walk.found)
    }

    /// A value may stand at several places, so what is visited is counted.
    fn collect(&self, place: Place, depth: usize, path: &mut Vec<String>, walk: &mut Walk) -> Result<()> {
        walk.values = walk.values.checked_sub(1).ok_or(CIRCLE)?;
        let depth = depth.checked_sub(1).ok_or(CIRCLE)?;
        match &self.values[place] {
            Value::Object(Some(attributes)) => self.collect(*attributes, depth, path, walk)?,
            Value::Dictionary(items) => {
                for (key, value) in items {
                    let Value::Text(key) = &self.values[*key] else { continue };
                    if key.len() > LONGEST_NAME {
                        return Err(LONG_NAME);
                    }
                    path.push(key.clone());
                    self.collect(*value, depth, path, walk)?;
                    path.pop();
                }
            }
            Value::Array(array) => {
                let name = path.join(".");
                if name.len() > LONGEST_NAME {
                    return Err(LONG_NAME);
                }
                walk.names = walk.names.checked_sub(name.len()).ok_or(LONG_NAMES)?;
                _ = walk.found.insert(name, array.clone());
            }
            _ => {}
        }
        Ok(())
    }
}

/// What a walk over the values has found, and how much further it may go.
struct Walk {
    /// Values that may be visited.
    values: usize,
    /// Bytes that names may have.
    names: usize,
    found: BTreeMap<String, Array>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A module with one tensor, which it holds under two names, and a module in it.
    fn example() -> Vec<u8> {
        let mut bytes = b"\x80\x02c__torch__\nClip\nq\0)\x81}(".to_vec();
        let text = |bytes: &mut Vec<u8>, text: &str| {
            bytes.push(b'X');
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text.as_bytes());
        };
        text(&mut bytes, "proj");
        bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut bytes, "storage");
        bytes.extend(b"ctorch\nHalfStorage\n");
        text(&mut bytes, "7");
        text(&mut bytes, "cuda:0");
        bytes.extend(b"K\x0ctQK\x02K\x03K\x02\x86K\x01K\x03\x86\x89ccollections\nOrderedDict\n)RtRq\x01");
        text(&mut bytes, "training");
        bytes.push(0x89);
        text(&mut bytes, "visual");
        bytes.extend(b"h\0)\x81}(");
        text(&mut bytes, "same");
        bytes.extend(b"h\x01ubub.");
        bytes
    }

    #[test]
    fn tensors_have_the_names_of_the_attributes_on_the_way() {
        let arrays = Pickle::read(&example()).and_then(|pickle| pickle.arrays()).expect("a pickle");
        let expected = Array {
            storage: Storage { class: "HalfStorage".to_owned(), key: "7".to_owned() },
            offset: 2,
            shape: vec![3, 2],
            strides: vec![1, 3],
        };
        assert_eq!(arrays.keys().collect::<Vec<_>>(), ["proj", "visual.same"]);
        assert!(arrays.values().all(|array| *array == expected));
    }

    #[test]
    fn modules_that_hold_each_other_are_an_error() {
        // object.attributes = {"a": object}
        let bytes = b"\x80\x02c__torch__\nA\n)\x81q\0}(X\x01\0\0\0ah\0ub.";
        assert!(Pickle::read(bytes).and_then(|pickle| pickle.arrays()).is_err());
    }

    /// A storage's name is copied into each tensor, and an attribute's name into those of all tensors in it.
    #[test]
    fn names_are_bounded() {
        let sized = |text: usize| {
            let text = "x".repeat(text);
            let mut bytes = example();
            let at = bytes.windows(6).position(|part| part == b"X\x01\0\0\x007").expect("the storage's name");
            bytes.splice(at..at + 6, [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat());
            Pickle::read(&bytes).is_ok()
        };
        assert!(sized(200) && !sized(300));
        // {"xx…x": {"xx…x": … tensor}}
        let nested = |levels: usize| {
            let mut bytes = b"\x80\x02".to_vec();
            for _ in 0..levels {
                bytes.extend([&b"}(X"[..], &1_000_u32.to_le_bytes(), "x".repeat(1_000).as_bytes()].concat());
            }
            bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nHalfStorage\n");
            bytes.extend(b"X\x01\0\0\x007X\x03\0\0\0cpuK\x0ctQK\0K\x03\x85K\x01\x85tR");
            bytes.extend("u".repeat(levels).as_bytes());
            bytes.push(b'.');
            Pickle::read(&bytes).and_then(|pickle| pickle.arrays()).map(|arrays| arrays.len())
        };
        assert_eq!(nested(2), Ok(1));
        assert!(nested(5).is_err());
        // {"xx…x": {"0000": tensor, "0001": tensor, …}}: each name repeats what stands above all.
        let wide = |tensors: usize| {
            let mut bytes =
                [&b"\x80\x02}(X"[..], &4_000_u32.to_le_bytes(), "x".repeat(4_000).as_bytes(), b"}("].concat();
            for number in 0..tensors {
                bytes.extend([&b"X\x04\0\0\0"[..], format!("{number:04}").as_bytes()].concat());
                if number == 0 {
                    bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nHalfStorage\n");
                    bytes.extend(b"X\x01\0\0\x007X\x03\0\0\0cpuK\x0ctQK\0K\x03\x85K\x01\x85tRq\x01");
                } else {
                    bytes.extend(b"h\x01");
                }
            }
            bytes.extend(b"uu.");
            Pickle::read(&bytes).and_then(|pickle| pickle.arrays()).map(|arrays| arrays.len())
        };
        assert_eq!(wide(1_000), Ok(1_000));
        assert_eq!(wide(5_000), Err(LONG_NAMES));
    }

    proptest! {
        #[test]
        fn no_damage_panics(cut in 0_usize..400, at in 0_usize..400, byte: u8) {
            let mut bytes = example();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(bytes.len() - cut % bytes.len());
            if let Ok(pickle) = Pickle::read(&bytes) {
                _ = pickle.arrays();
            }
        }
    }
}
