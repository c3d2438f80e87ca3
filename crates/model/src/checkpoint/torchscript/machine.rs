//! The machine that a pickle is a program for: a stack, marks on it, and a memory.

use std::collections::HashMap;

use super::pickle::{Array, Place, Result, Storage, Value};

/// Values that the pickle of a file may have.
const MOST_VALUES: usize = 4_000_000;

/// Longest name of a storage. It is copied into every tensor, so that a long one could fill the memory.
const LONGEST_KEY: usize = 256;

const DAMAGED: &str = "its pickle is damaged";

#[derive(Default)]
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    values: Vec<Value>,
    stack: Vec<Place>,
    marks: Vec<usize>,
    memo: HashMap<u32, Place>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// All values, and the place of what the pickle makes.
    pub(super) fn run(mut self) -> Result<(Vec<Value>, Place)> {
        loop {
            if self.values.len() > MOST_VALUES {
                return Err("its pickle is too large");
            }
            let [instruction] = self.take()?;
            if instruction == b'.' {
                let root = self.pop()?;
                return Ok((self.values, root));
            }
            if !self.scalar(instruction)? && !self.container(instruction)? {
                self.object(instruction)?;
            }
        }
    }

    fn slice(&mut self, length: usize) -> Result<&[u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(DAMAGED)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.slice(N)?.try_into().ok().ok_or(DAMAGED)
    }

    fn line(&mut self) -> Result<String> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n').ok_or(DAMAGED)?;
        let line = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
        self.bytes = &self.bytes[end + 1..];
        Ok(line)
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Place> {
        let bottom = self.marks.last().copied().unwrap_or_default();
        if self.stack.len() <= bottom {
            return Err(DAMAGED);
        }
        self.stack.pop().ok_or(DAMAGED)
    }

    fn top(&self) -> Result<Place> {
        self.stack.last().copied().ok_or(DAMAGED)
    }

    fn since_mark(&mut self) -> Result<Vec<Place>> {
        let mark = self.marks.pop().ok_or(DAMAGED)?;
        if mark > self.stack.len() {
            return Err(DAMAGED);
        }
        Ok(self.stack.split_off(mark))
    }

    fn get(&mut self, number: u32) -> Result<()> {
        let place = *self.memo.get(&number).ok_or(DAMAGED)?;
        self.stack.push(place);
        Ok(())
    }

    fn put(&mut self, number: u32) -> Result<()> {
        let place = self.top()?;
        self.memo.insert(number, place);
        Ok(())
    }

    /// Instructions that push a value or name one.
    fn scalar(&mut self, instruction: u8) -> Result<bool> {
        match instruction {
            0x80 => _ = self.take::<1>()?,
            b'N' | 0x88 | 0x89 => self.push(Value::Other),
            b'K' => {
                let [number] = self.take()?;
                self.push(Value::Whole(i64::from(number)));
            }
            b'M' => {
                let number = u16::from_le_bytes(self.take()?);
                self.push(Value::Whole(i64::from(number)));
            }
            b'J' => {
                let number = i32::from_le_bytes(self.take()?);
                self.push(Value::Whole(i64::from(number)));
            }
            0x8a => {
                let [length] = self.take()?;
                let digits = self.slice(usize::from(length))?;
                let value = whole(digits);
                self.push(value);
            }
            b'G' => {
                _ = self.take::<8>()?;
                self.push(Value::Other);
            }
            b'X' => {
                let length = u32::from_le_bytes(self.take()?);
                let text = String::from_utf8_lossy(self.slice(length as usize)?).into_owned();
                self.push(Value::Text(text));
            }
            b'q' => {
                let [number] = self.take()?;
                self.put(u32::from(number))?;
            }
            b'r' => {
                let number = u32::from_le_bytes(self.take()?);
                self.put(number)?;
            }
            b'h' => {
                let [number] = self.take()?;
                self.get(u32::from(number))?;
            }
            b'j' => {
                let number = u32::from_le_bytes(self.take()?);
                self.get(number)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Instructions that make lists and dictionaries.
    fn container(&mut self, instruction: u8) -> Result<bool> {
        match instruction {
            b'(' => self.marks.push(self.stack.len()),
            b')' | b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dictionary(Vec::new())),
            b't' => {
                let items = self.since_mark()?;
                self.push(Value::List(items));
            }
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0x85..=instruction {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push(Value::List(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(&items)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn append(&mut self, items: Vec<Place>) -> Result<()> {
        let top = self.top()?;
        if let Value::List(list) = &mut self.values[top] {
            list.extend(items);
        }
        Ok(())
    }

    fn set(&mut self, items: &[Place]) -> Result<()> {
        let top = self.top()?;
        let (pairs, []) = items.as_chunks::<2>() else { return Err(DAMAGED) };
        if let Value::Dictionary(dictionary) = &mut self.values[top] {
            dictionary.extend(pairs.iter().map(|[key, value]| (*key, *value)));
        }
        Ok(())
    }

    /// Instructions that name classes and make objects.
    fn object(&mut self, instruction: u8) -> Result<()> {
        match instruction {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Class(format!("{module}.{name}")));
            }
            0x81 => {
                let (_arguments, _class) = (self.pop()?, self.pop()?);
                self.push(Value::Object(None));
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                if let Value::Object(attributes) = &mut self.values[object] {
                    *attributes = Some(state);
                }
            }
            b'R' => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let made = self.made(callable, arguments)?;
                self.stack.push(made);
            }
            b'Q' => {
                let number = self.pop()?;
                let storage = self.storage(number).ok_or(DAMAGED)?;
                self.push(Value::Storage(storage));
            }
            _ => return Err("its pickle has an instruction that TorchScript does not write"),
        }
        Ok(())
    }

    fn list(&self, place: Place) -> Option<&[Place]> {
        if let Value::List(items) = self.values.get(place)? { Some(items) } else { None }
    }

    fn size(&self, place: Place) -> Option<usize> {
        if let Value::Whole(number) = self.values.get(place)? { usize::try_from(*number).ok() } else { None }
    }

    fn sizes(&self, place: Place) -> Option<Vec<usize>> {
        self.list(place)?.iter().map(|item| self.size(*item)).collect()
    }

    /// `('storage', torch.HalfStorage, '17', 'cuda:0', 768)`.
    fn storage(&self, place: Place) -> Option<Storage> {
        let [_tag, class, key, ..] = self.list(place)? else { return None };
        let (Value::Class(class), Value::Text(key)) = (&self.values[*class], &self.values[*key]) else { return None };
        let class = class.rsplit('.').next()?.to_owned();
        if class.len() > LONGEST_KEY || key.len() > LONGEST_KEY {
            return None;
        }
        Some(Storage { class, key: key.clone() })
    }

    /// What a call gives. Only those that make tensors and lists are known; any other gives nothing.
    fn made(&mut self, callable: Place, arguments: Place) -> Result<Place> {
        let Value::Class(name) = &self.values[callable] else { return Err(DAMAGED) };
        let value = match name.as_str() {
            "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor" => {
                Value::Array(self.array(arguments).ok_or("a tensor in its pickle is damaged")?)
            }
            "collections.OrderedDict" => Value::Dictionary(Vec::new()),
            // The object, and the name of its type; or the items of a list.
            "torch.jit._pickle.restore_type_tag" | "torch.jit._pickle.build_intlist" => {
                return self.list(arguments).and_then(|items| items.first().copied()).ok_or(DAMAGED);
            }
            _ => Value::Other,
        };
        self.values.push(value);
        Ok(self.values.len() - 1)
    }

    fn array(&self, arguments: Place) -> Option<Array> {
        let [storage, offset, shape, strides, ..] = self.list(arguments)? else { return None };
        let Value::Storage(storage) = self.values.get(*storage)? else { return None };
        let (shape, strides) = (self.sizes(*shape)?, self.sizes(*strides)?);
        Some(Array { storage: storage.clone(), offset: self.size(*offset)?, shape, strides })
    }
}

/// A number of any length, little-endian; one that needs more than 64 bits is no size.
fn whole(digits: &[u8]) -> Value {
    let negative = digits.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut bytes = [if negative { u8::MAX } else { 0 }; 8];
    match bytes.get_mut(..digits.len()) {
        Some(low) => {
            low.copy_from_slice(digits);
            Value::Whole(i64::from_le_bytes(bytes))
        }
        None => Value::Other,
    }
}
