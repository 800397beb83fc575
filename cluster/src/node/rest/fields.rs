//! **Purpose**: the fields of a request, wherever they stand: in the query, a form, or JSON.
//!
//! **Invariants**
//! - Names are compared without regard to case, as the clients' encoder leaves it open; a field of the
//!   body goes before one of the query.

use std::collections::BTreeMap;

use serde_json::Value;
use tonic::Status;

/// Fields by lower-case name.
#[derive(Debug, Default)]
pub struct Fields(BTreeMap<String, Value>);

impl Fields {
    /// Reads query and body.
    ///
    /// # Errors
    /// A body that is neither of JSON nor a form.
    pub fn read(query: &str, content_type: Option<&str>, body: &[u8]) -> Result<Self, Status> {
        let mut fields = Fields::default();
        fields.add_form(query.as_bytes())?;
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(fields);
        }
        if content_type.is_some_and(|text| text.starts_with("application/x-www-form-urlencoded")) {
            fields.add_form(body)?;
            return Ok(fields);
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => {
                let map = map.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
                fields.0.extend(map);
                Ok(fields)
            }
            Ok(_) => Err(Status::invalid_argument("the body is JSON, but no object")),
            Err(error) => {
                Err(Status::invalid_argument(format!("the body is no readable JSON: {error}")))
            }
        }
    }

    /// Names that come more than once become a list.
    fn add_form(&mut self, bytes: &[u8]) -> Result<(), Status> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Status::invalid_argument("the form is no UTF-8 text"))?;
        let mut form: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = unescape(name)?.to_ascii_lowercase();
            form.entry(name).or_default().push(Value::String(unescape(value)?));
        }
        for (name, mut values) in form {
            let value = match values.len() {
                1 => values.remove(0),
                _ => Value::Array(values),
            };
            self.0.insert(name, value);
        }
        Ok(())
    }

    /// A text; `None` when it is absent or empty.
    pub fn text(&self, name: &str) -> Result<Option<String>, Status> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(Status::invalid_argument(format!("`{name}` is no text"))),
        }
    }

    /// A text that must be there.
    pub fn needed(&self, name: &str) -> Result<String, Status> {
        self.text(name)?
            .ok_or_else(|| Status::invalid_argument(format!("`{name}` is missing or empty")))
    }

    /// A text that may be empty; `None` when it is absent.
    pub fn present(&self, name: &str) -> Result<Option<String>, Status> {
        match self.0.get(name) {
            Some(Value::String(text)) => Ok(Some(text.clone())),
            _ => self.text(name),
        }
    }

    pub fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        let text = self.text(name)?;
        text.map(|text| {
            text.parse()
                .map_err(|_| Status::invalid_argument(format!("`{name}` is `{text}`, no number")))
        })
        .transpose()
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, Status> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) if text == "true" => Ok(Some(true)),
            Some(Value::String(text)) if text == "false" => Ok(Some(false)),
            Some(_) => Err(Status::invalid_argument(format!("`{name}` is neither true nor false"))),
        }
    }

    /// Texts, of which there may be one.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, Status> {
        let text = |value: &Value| match value {
            Value::String(text) => Ok(text.clone()),
            _ => Err(Status::invalid_argument(format!("`{name}` holds something else than texts"))),
        };
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(values)) => values.iter().map(text).collect(),
            Some(value) => Ok(vec![text(value)?]),
        }
    }

    /// A field of an object.
    pub fn inner(&self, name: &str) -> Result<Self, Status> {
        match self.0.get(name) {
            Some(Value::Object(map)) => {
                let map =
                    map.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
                Ok(Fields(map.collect()))
            }
            Some(_) | None => {
                Err(Status::invalid_argument(format!("`{name}` is missing or no object")))
            }
        }
    }
}

/// `+` and `%XX` of a form.
fn unescape(text: &str) -> Result<String, Status> {
    let bad = || Status::invalid_argument("the query or form holds a broken `%` escape");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, more)) = rest.split_first() {
        rest = more;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, more) = rest.split_at_checked(2).ok_or_else(bad)?;
                let digits = std::str::from_utf8(digits).map_err(|_| bad())?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| bad())?);
                rest = more;
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_form_and_json_say_the_same() {
        let form = Some("application/x-www-form-urlencoded; charset=utf-8");
        for fields in [
            Fields::read("name=a+b&limit=7", None, b"").unwrap(),
            Fields::read("", form, b"Name=a%20b&limit=7").unwrap(),
            Fields::read("name=other", None, br#"{"NAME":"a b","Limit":7}"#).unwrap(),
        ] {
            assert_eq!(fields.needed("name").unwrap(), "a b");
            assert_eq!(fields.number("limit").unwrap(), Some(7));
            assert_eq!(fields.text("absent").unwrap(), None);
        }
        let names = Fields::read("names=a&names=b", None, b"").unwrap();
        assert_eq!(names.texts("names").unwrap(), ["a", "b"]);
    }

    #[test]
    fn malformed_requests_are_refused() {
        assert!(Fields::read("a=%4", None, b"").is_err());
        assert!(Fields::read("a=%zz", None, b"").is_err());
        assert!(Fields::read("a=%ff", None, b"").is_err());
        assert!(Fields::read("", None, b"[1]").is_err());
        assert!(Fields::read("", None, b"{\"a\":").is_err());
        let fields = Fields::read("", None, br#"{"a":{},"n":"x"}"#).unwrap();
        assert!(fields.text("a").is_err());
        assert!(fields.number("n").is_err());
        assert!(fields.flag("n").is_err());
        assert!(fields.needed("missing").is_err());
    }
}
