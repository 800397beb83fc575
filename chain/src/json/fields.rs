//! **Purpose**: reading the fields of a JSON object, with errors that name object and field.

use serde_json::{Map, Value};

use super::{JsonError, LotusJson, bytes_from_json};

/// The fields of one JSON object.
pub(crate) struct Fields<'a> {
    object: &'static str,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(object: &'static str, json: &'a Value) -> Result<Self, JsonError> {
        let map = json.as_object().ok_or_else(|| JsonError::shape(object, json))?;
        Ok(Self { object, map })
    }

    /// A field that must be there.
    pub(crate) fn required<T: LotusJson>(&self, field: &'static str) -> Result<T, JsonError> {
        let json = self.map.get(field).ok_or(JsonError::Missing { object: self.object, field })?;
        T::from_lotus_json(json).map_err(|source| self.refuse(field, source))
    }

    /// A field that may be absent or null; then it has its type's empty value.
    pub(crate) fn or_default<T: LotusJson + Default>(
        &self,
        field: &'static str,
    ) -> Result<T, JsonError> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(T::default()),
            Some(json) => T::from_lotus_json(json).map_err(|source| self.refuse(field, source)),
        }
    }

    pub(crate) fn bytes(&self, field: &'static str) -> Result<Vec<u8>, JsonError> {
        let json = self.map.get(field).unwrap_or(&Value::Null);
        bytes_from_json(json).map_err(|source| self.refuse(field, source))
    }

    pub(crate) fn unsigned(&self, field: &'static str) -> Result<u64, JsonError> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(0),
            Some(json) => json.as_u64().ok_or_else(|| {
                self.refuse(field, JsonError::shape("number from 0 to 2^64 - 1", json))
            }),
        }
    }

    pub(crate) fn signed(&self, field: &'static str) -> Result<i64, JsonError> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(0),
            Some(json) => json
                .as_i64()
                .ok_or_else(|| self.refuse(field, JsonError::shape("signed 64-bit number", json))),
        }
    }

    pub(crate) fn refuse(&self, field: &'static str, source: JsonError) -> JsonError {
        JsonError::Field { object: self.object, field, source: Box::new(source) }
    }
}
