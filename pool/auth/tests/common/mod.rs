//! A machine with its store: rows pass through the codec, and every step is validated.
#![allow(dead_code)]

use std::collections::BTreeMap;

use hesper_auth::*;

pub type Rows = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

pub const F1: &str = "f17uoq6tp427uzv7fztkbsnn64iwotfrristwpryy";
pub const F1_OTHER: &str = "f15ihq5ibzwki2b4ep2f46avlkrqzhpqgtga7pdrq";
pub const F410: &str = "f410feswkuvbmtmtm2cmd2qpnlkvpoeuzidz4ssiuyna";
pub const SECRET: [u8; 32] = [7; 32];
pub const OTHER_SECRET: [u8; 32] = [8; 32];

#[derive(Clone, Default, PartialEq)]
pub struct Machine {
    pub state: State,
    pub rows: Rows,
    pub now_ms: u64,
    pub index: u64,
}

impl Machine {
    /// An enabled user `acme`, another `rival`, and a secret.
    pub fn founded() -> Self {
        let mut machine = Self { now_ms: 1_000_000, ..Self::default() };
        machine.done(add_secret(0));
        machine.done(create_user("acme"));
        machine.done(create_user("rival"));
        machine
    }

    pub fn apply_as(&mut self, actor: &Actor, command: Command) -> Applied {
        self.index += 1;
        let context = Context { now_ms: self.now_ms, index: self.index, actor };
        let command = Command::decode(&command.encode()).expect("commands survive the log");
        let rows = &mut self.rows;
        let applied = self.state.apply(&context, command, &mut |table, key, row| {
            match row {
                Some(row) => rows.insert((table, key.to_vec()), row),
                None => rows.remove(&(table, key.to_vec())),
            };
        });
        assert_eq!(self.state.validate(), Ok(()));
        assert_eq!(Reply::decode(&applied.reply.encode()).as_ref().ok(), Some(&applied.reply));
        applied
    }

    pub fn reply_as(&mut self, actor: &Actor, command: Command) -> Reply {
        self.apply_as(actor, command).reply
    }

    /// As an administrator.
    pub fn reply(&mut self, command: Command) -> Reply {
        self.reply_as(&Actor::admin("root"), command)
    }

    pub fn done(&mut self, command: Command) -> Applied {
        let applied = self.apply_as(&Actor::admin("root"), command);
        assert!(!matches!(applied.reply, Reply::Rejected(_)), "{:?}", applied.reply);
        applied
    }

    pub fn rejected_as(&mut self, actor: &Actor, command: Command) -> Rejected {
        match self.reply_as(actor, command) {
            Reply::Rejected(rejected) => rejected,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    pub fn rejected(&mut self, command: Command) -> Rejected {
        self.rejected_as(&Actor::admin("root"), command)
    }

    pub fn draw(&mut self, draw: Draw) -> Reply {
        self.reply_as(&Actor::node("n"), Command::Draw(draw))
    }

    pub fn token(&mut self, user: &str, permission: Permission, valid_ms: Option<u64>) -> TokenRow {
        match self.reply(create_token(user, permission, valid_ms)) {
            Reply::Token { token } => token,
            other => panic!("expected a token, got {other:?}"),
        }
    }

    pub fn limit(&mut self, cap: u64, window_ms: u64) -> u64 {
        match self.reply(set_limit(None, "", cap, window_ms)) {
            Reply::LimitSet { id } => id,
            other => panic!("expected a limit, got {other:?}"),
        }
    }

    /// The state as a node has it after a restart.
    pub fn reloaded(&self) -> State {
        let mut state = State::default();
        for ((table, key), row) in self.rows.iter().rev() {
            state.load_row(*table, key, row).expect("own rows are readable");
        }
        assert_eq!(state.loaded(), Ok(()));
        state
    }
}

pub fn verifier() -> Verifier {
    let mut verifier = Verifier::new();
    verifier.set_key(1, &SECRET);
    verifier
}

pub fn create_user(name: &str) -> Command {
    Command::CreateUser { name: name.to_owned(), comment: "c".to_owned(), enabled: true }
}

pub fn enable(name: &str, enabled: bool) -> Command {
    Command::UpdateUser { name: name.to_owned(), comment: None, enabled: Some(enabled) }
}

pub fn delete_user(name: &str) -> Command {
    Command::DeleteUser { name: name.to_owned() }
}

pub fn recover_user(name: &str) -> Command {
    Command::RecoverUser { name: name.to_owned() }
}

pub fn add_secret(overlap_ms: u64) -> Command {
    Command::AddSecret { sealed: vec![1, 2, 3], overlap_ms }
}

pub fn put_miner(miner: u64, user: &str) -> Command {
    Command::PutMiner { miner, user: user.to_owned(), open_mining: true }
}

pub fn register(user: &str, signers: &[&str]) -> Command {
    let signers = signers.iter().map(|&text| text.to_owned()).collect();
    Command::RegisterSigners { user: user.to_owned(), signers }
}

pub fn create_token(user: &str, permission: Permission, valid_ms: Option<u64>) -> Command {
    let (user, name) = (user.to_owned(), "ci".to_owned());
    Command::CreateToken { user, name, permission, extra: String::new(), valid_ms }
}

pub fn set_limit(id: Option<u64>, method: &str, cap: u64, window_ms: u64) -> Command {
    let (user, service, method) = ("acme".to_owned(), String::new(), method.to_owned());
    Command::SetLimit { id, user, service, method, cap, window_ms }
}
