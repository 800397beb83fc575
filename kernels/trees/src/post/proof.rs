//! What a proof holds, and its JSON.
//!
//! **Purpose**: the library's vanilla proof of a sector, and the text that the library reads.
//!
//! **Invariants**: [`SectorProof::to_json`] gives the bytes that `serde_json` gives for the
//! library's `FallbackPoStSectorProof` of the same shape.
//!
//! **Source**: filecoin-proofs 19.1 `FallbackPoStSectorProof`, storage-proofs-core 19.1
//! `MerkleProof`.

/// The proof of one sector: one inclusion proof for each challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectorProof {
    /// The sector's number.
    pub sector_id: u64,
    /// Poseidon of `comm_c` and `comm_r_last`.
    pub comm_r: [u8; 32],
    /// The root of tree C.
    pub comm_c: [u8; 32],
    /// The root of tree R last.
    pub comm_r_last: [u8; 32],
    /// In the order of the challenges.
    pub inclusion: Vec<InclusionProof>,
}

/// A leaf and its path to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// `comm_r_last`.
    pub root: [u8; 32],
    /// The challenged node of the sealed file.
    pub leaf: [u8; 32],
    /// Inside the base tree, from the leaf up.
    pub base: Vec<PathElement>,
    /// Among the base trees, where there are several.
    pub sub: Option<PathElement>,
    /// Among groups of base trees, where there are several.
    pub top: Option<PathElement>,
}

/// One step up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathElement {
    /// The other children of the node above, in order.
    pub hashes: Vec<[u8; 32]>,
    /// The place of our node among them.
    pub index: usize,
}

impl SectorProof {
    /// The library's JSON of this proof.
    pub fn to_json(&self) -> Vec<u8> {
        let mut text = Text(Vec::new());
        text.sector(self);
        text.0
    }
}

/// The library's JSON of a list of proofs.
pub fn json_array<'a>(proofs: impl IntoIterator<Item = &'a SectorProof>) -> Vec<u8> {
    let mut text = Text(Vec::new());
    text.list(proofs, Text::sector);
    text.0
}

/// Each byte as decimal digits and a comma, and how many characters that is. Nearly all of a proof
/// is bytes as numbers, so this table is most of the work of writing one.
const BYTES: [([u8; 4], u8); 256] = {
    let mut table = [([0; 4], 0); 256];
    let mut value = 0;
    while value < 256 {
        let digits = [(value / 100) as u8, (value / 10 % 10) as u8, (value % 10) as u8];
        let skip = if value >= 100 {
            0
        } else if value >= 10 {
            1
        } else {
            2
        };
        let (mut text, mut len) = ([b','; 4], 0);
        let mut place = skip;
        while place < 3 {
            text[len] = b'0' + digits[place];
            len += 1;
            place += 1;
        }
        table[value] = (text, len as u8 + 1);
        value += 1;
    }
    table
};

struct Text(Vec<u8>);

impl Text {
    fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn list<T>(&mut self, items: impl IntoIterator<Item = T>, one: fn(&mut Text, T)) {
        self.raw("[");
        for (place, item) in items.into_iter().enumerate() {
            if place > 0 {
                self.raw(",");
            }
            one(self, item);
        }
        self.raw("]");
    }

    fn node(&mut self, node: &[u8; 32]) {
        let mut buffer = [0u8; 1 + 32 * 4];
        buffer[0] = b'[';
        let mut end = 1;
        for byte in node {
            let (text, len) = BYTES[usize::from(*byte)];
            buffer[end..end + 4].copy_from_slice(&text);
            end += usize::from(len);
        }
        buffer[end - 1] = b']';
        self.0.extend_from_slice(&buffer[..end]);
    }

    fn element(&mut self, element: &PathElement) {
        self.raw("{\"hashes\":");
        self.list(&element.hashes, Text::node);
        self.raw(&format!(",\"index\":{}}}", element.index));
    }

    fn path<'a>(&mut self, path: impl IntoIterator<Item = &'a PathElement>) {
        self.raw("{\"path\":");
        self.list(path, Text::element);
        self.raw("}");
    }

    fn inclusion(&mut self, proof: &InclusionProof) {
        let Some(sub) = &proof.sub else {
            self.raw("{\"data\":{\"Single\":{\"root\":");
            self.node(&proof.root);
            self.raw(",\"leaf\":");
            self.node(&proof.leaf);
            self.raw(",\"path\":");
            self.path(&proof.base);
            self.raw("}}}");
            return;
        };
        let kind = if proof.top.is_some() { "Top" } else { "Sub" };
        self.raw(&format!("{{\"data\":{{\"{kind}\":{{\"base_proof\":"));
        self.path(&proof.base);
        self.raw(",\"sub_proof\":");
        self.path([sub]);
        if let Some(top) = &proof.top {
            self.raw(",\"top_proof\":");
            self.path([top]);
        }
        self.raw(",\"root\":");
        self.node(&proof.root);
        self.raw(",\"leaf\":");
        self.node(&proof.leaf);
        self.raw("}}}");
    }

    fn sector(&mut self, proof: &SectorProof) {
        self.raw(&format!("{{\"sector_id\":{},\"comm_r\":", proof.sector_id));
        self.node(&proof.comm_r);
        self.raw(",\"vanilla_proof\":{\"sectors\":[{\"inclusion_proofs\":");
        self.list(&proof.inclusion, Text::inclusion);
        self.raw(",\"comm_c\":");
        self.node(&proof.comm_c);
        self.raw(",\"comm_r_last\":");
        self.node(&proof.comm_r_last);
        self.raw("}]}}");
    }
}
