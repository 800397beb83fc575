//! **Purpose**: the configuration of each role: read from TOML and flags, checked as a whole, then
//! frozen.
//!
//! **Invariants**
//! - One table of keys per role feeds the file, the flags of `run`, their help, and the example
//!   that `hesper config` prints.
//! - A configuration is either right or refused with **all** its problems.

mod client;
mod executor;
mod key;
mod node;
mod parse;
mod reader;
mod up;
mod wallet;

pub use client::{CLIENT_FILE, Client, write_client_file};
pub use executor::{Executor, PathRole, Runner, StoragePath};
pub use key::{Form, Key, Keys, Preset, example};
pub use node::{NODE_FILE, Node, write_node_file};
pub use reader::{Problem, Problems};
pub use up::Up;
pub use wallet::{
    POLICY_FILE, WALLET_FILE, WALLET_SOCKET, Wallet, WalletNetwork, write_wallet_file,
};

/// How a process writes its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// A level, or a filter such as `info,hesper=debug`.
    pub filter: String,
    /// Text or JSON.
    pub format: LogFormat,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object per line, for collectors.
    Json,
}

impl std::str::FromStr for LogFormat {
    type Err = crate::values::ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(crate::values::ValueError::new(text, "log format", "write text or json")),
        }
    }
}

const LOG: Key = Key {
    name: "log",
    form: Form::Text,
    preset: Preset::Text("info"),
    help: "Log level (error, warn, info, debug, trace) or a filter such as info,hesper_consensus=debug.",
};
const LOG_FORMAT: Key = Key {
    name: "log_format",
    form: Form::Choice(&["text", "json"]),
    preset: Preset::Text("text"),
    help: "Log lines for people or for collectors.",
};

fn logging(reader: &mut reader::Reader) -> Option<Logging> {
    let filter = reader.one("log", parse::text);
    let format = reader.one("log_format", str::parse);
    Some(Logging { filter: filter?, format: format? })
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    fn in_file<T>(text: &str, check: impl FnOnce(&camino::Utf8Path) -> T) -> T {
        let home = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(home.path().join("x.toml")).unwrap();
        std::fs::write(&path, text).unwrap();
        check(&path)
    }

    fn problems<T>(result: Result<T, Problems>) -> Vec<String> {
        let problems = result.err().expect("it must be refused");
        problems
            .list
            .into_iter()
            .map(|Problem { key, value, reason }| {
                format!("{key} [{}] {reason}", value.unwrap_or_default())
            })
            .collect()
    }

    #[test]
    fn every_preset_can_be_read() {
        let data = ("data_dir", "/d".to_owned());
        let name = ("name", "n1".to_owned());
        let nodes = ("nodes", "a:1,b:2".to_owned());
        let node = Node::load(None, &[data.clone(), name.clone()]).unwrap();
        assert_eq!(node.advertise, node.listen.to_string());
        let executor = Executor::load(None, &[data.clone(), name, nodes.clone()]).unwrap();
        assert_eq!(executor.nodes, ["a:1", "b:2"]);
        assert_eq!(executor.memory, None);
        Client::load(None, &[nodes, ("identity", "/i".to_owned())]).unwrap();
        Up::load(None, &[data]).unwrap();
    }

    #[test]
    fn all_problems_of_a_node_are_listed_at_once() {
        let text = r#"
            data_dir = "/d"
            listen = "nowhere"
            queue_limt = 5
            queue_limit = "many"
            log_retention = "1.5GiB"
            heartbeat = 1.5
            election_min = "1s"
            election_max = "500ms"
        "#;
        let found = in_file(text, |path| problems(Node::load(Some(path), &[])));
        let expect = [
            "heartbeat [1.5] expected TIME",
            "queue_limt [] there is no such key; did you mean `queue_limit`?",
            "name [] it must be set",
            "listen [\"nowhere\"] it is no address to listen on",
            "queue_limit [\"many\"] it is no count",
            "log_retention [\"1.5GiB\"] it is no size",
            "election_max [500ms] it must be longer than election_min",
        ];
        assert_eq!(found.len(), expect.len(), "{found:#?}");
        for start in expect {
            assert!(found.iter().any(|line| line.starts_with(start)), "{start} in {found:#?}");
        }
    }

    #[test]
    fn all_problems_of_an_executor_are_listed_at_once() {
        let text = r#"
            name = "e 1"
            data_dir = ""
            nodes = ["a:1", "b"]
            cores = 0
            [resources]
            licence = "x"
            [[paths]]
            id = "p1"
            dir = "/p1"
            reserve = "2GiB"
            capacity = "1GiB"
            [[paths]]
            id = "p1"
            role = "shed"
            speed = "9"
        "#;
        let found = in_file(text, |path| problems(Executor::load(Some(path), &[])));
        let expect = [
            "name [\"e 1\"] it is no name",
            "data_dir [\"\"] it is no path",
            "nodes [\"b\"] it is no address",
            "cores [0] ",
            "resources [\"licence=x\"] it is no named resource",
            "paths.p1 [] its reserve is not smaller than its capacity",
            "paths.p1 [] this id occurs twice",
            "paths.p1 [] `speed` is no field",
            "paths.p1 [] `dir` must be set",
            "paths.p1 [shed] ",
        ];
        assert_eq!(found.len(), expect.len(), "{found:#?}");
        for start in expect {
            assert!(found.iter().any(|line| line.starts_with(start)), "{start} in {found:#?}");
        }
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let text = "data_dir = \"/d\"\nname = \"n1\"\nqueue_limit = 5\n";
        in_file(text, |path| {
            let node = Node::load(Some(path), &[("queue_limit", "7".to_owned())]).unwrap();
            assert_eq!(node.queue_limit, 7);
            assert_eq!(Node::load(Some(path), &[]).unwrap().queue_limit, 5);
        });
    }

    #[test]
    fn a_broken_or_missing_file_is_one_problem_with_its_place() {
        in_file("a = = 1", |path| {
            let error = Client::load(Some(path), &[]).unwrap_err().to_string();
            assert!(error.contains("not valid TOML") && error.contains(path.as_str()), "{error}");
        });
        let missing = Client::load(Some(camino::Utf8Path::new("/nowhere.toml")), &[]);
        assert!(missing.unwrap_err().to_string().contains("could not read `/nowhere.toml`"));
    }

    #[test]
    fn storage_paths_are_read_from_flags() {
        let flags = [
            ("data_dir", "/d".to_owned()),
            ("name", "e1".to_owned()),
            ("nodes", "a:1".to_owned()),
            ("paths", "id=p,dir=/p,reserve=1GiB".to_owned()),
            ("paths", "id=q,dir=/q,role=store,capacity=2TiB".to_owned()),
            ("resources", "licence=2".to_owned()),
        ];
        let executor = Executor::load(None, &flags).unwrap();
        assert_eq!(executor.paths.len(), 2);
        assert_eq!(executor.paths[0].role, PathRole::Seal);
        assert_eq!(executor.paths[0].reserve, 1 << 30);
        assert_eq!(executor.paths[1].capacity, Some(2 << 40));
        assert_eq!(executor.resources["licence"], 2);
    }

    #[test]
    fn examples_are_valid_once_the_placeholders_are_filled() {
        for (role, keys) in [
            ("node run", Node::KEYS),
            ("executor run", Executor::KEYS),
            ("", Client::KEYS),
            ("up", Up::KEYS),
        ] {
            let text = example(role, keys);
            let table: toml::Table = toml::from_str(&text).unwrap();
            let required = keys.iter().filter(|key| key.preset == Preset::Required).count();
            assert_eq!(table.len(), required, "{text}");
            // With every comment that is a setting switched on it is still TOML.
            let all: String = text
                .lines()
                .map(|line| {
                    line.strip_prefix("# ")
                        .filter(|l| l.contains(" = ") || l.starts_with('['))
                        .unwrap_or(line)
                })
                .collect::<Vec<_>>()
                .join("\n");
            toml::from_str::<toml::Table>(&all).unwrap();
        }
    }
}
