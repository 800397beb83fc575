//! **Purpose**: reads the single values of a configuration, shared by the roles.

use std::net::SocketAddr;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::values::{self, ValueError};

pub(crate) fn name(text: &str) -> Result<String, ValueError> {
    crate::identity::check_name("the name", text).map(|()| text.to_owned()).map_err(|_| {
        ValueError::new(
            text,
            "name",
            "use 1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit",
        )
    })
}

pub(crate) fn path(text: &str) -> Result<Utf8PathBuf, ValueError> {
    let bad = |form: &str| ValueError::new(text, "path", form);
    if text.is_empty() || text.contains('\0') {
        return Err(bad("it is empty or holds a zero byte"));
    }
    let Some(rest) = text.strip_prefix("~/") else {
        return Ok(Utf8PathBuf::from(text));
    };
    let home = std::env::home_dir().and_then(|home| Utf8PathBuf::from_path_buf(home).ok());
    home.map(|home| home.join(rest))
        .ok_or_else(|| bad("there is no home directory; write the whole path"))
}

pub(crate) fn listen(text: &str) -> Result<SocketAddr, ValueError> {
    text.parse().map_err(|_| {
        ValueError::new(
            text,
            "address to listen on",
            "write ip:port, such as 127.0.0.1:7100 or [::]:7100",
        )
    })
}

pub(crate) fn or_off<T>(
    parse: impl Fn(&str) -> Result<T, ValueError>,
    word: &'static str,
) -> impl Fn(&str) -> Result<Option<T>, ValueError> {
    move |text| {
        if text == word { Ok(None) } else { parse(text).map(Some) }
    }
}

pub(crate) fn address(text: &str) -> Result<String, ValueError> {
    let bad =
        || ValueError::new(text, "address", "write host:port, such as 10.0.0.1:7100 or node1:7100");
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    let is_v6 = host.starts_with('[') && host.ends_with(']');
    let is_name = !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if port == 0 || !(is_name || (is_v6 && text.parse::<SocketAddr>().is_ok())) {
        return Err(bad());
    }
    Ok(text.to_owned())
}

pub(crate) fn count(text: &str) -> Result<u64, ValueError> {
    text.parse().map_err(|_| ValueError::new(text, "count", "write a whole number"))
}

pub(crate) fn count32(text: &str) -> Result<u32, ValueError> {
    text.parse()
        .map_err(|_| ValueError::new(text, "count", "write a whole number below 4294967296"))
}

pub(crate) fn size(text: &str) -> Result<u64, ValueError> {
    values::parse_size(text)
}

pub(crate) fn duration(text: &str) -> Result<Duration, ValueError> {
    values::parse_duration(text)
}

pub(crate) fn text(text: &str) -> Result<String, ValueError> {
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["127.0.0.1:7100", "node1:7100", "a.b-c.example:1", "[::1]:7100"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "node1",
            "node1:",
            ":7100",
            "node1:0",
            "node1:99999",
            "::1:7100",
            "https://a:1",
            "a b:1",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
