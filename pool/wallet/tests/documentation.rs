//! WALLET.md tells the truth about the API and the objects: its tables are those of the code.

use hesper_wallet::object;
use hesper_wallet::rpc::METHODS;

fn document() -> String {
    // Asked at run time: clones that share a target directory share the test program.
    let own = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs this test");
    let path = std::path::Path::new(&own).join("../../WALLET.md");
    std::fs::read_to_string(path).expect("WALLET.md lies at the root")
}

#[test]
fn every_method_stands_in_the_table_with_its_permission() {
    let mut table = String::from("| method | permission | what |\n|---|---|---|\n");
    for method in METHODS {
        let place = if method.is_local { ", socket only" } else { "" };
        table.push_str(&format!(
            "| `{}` | {}{place} | {} |\n",
            method.name,
            method.permission.word(),
            method.about.replace('|', "\\|")
        ));
    }
    assert!(document().contains(&table), "put this table into WALLET.md:\n{table}");
}

#[test]
fn every_object_type_is_described() {
    let text = document();
    for support in object::supported() {
        let word = support.object_type.word();
        assert!(text.contains(&format!("`{word}`")), "WALLET.md does not describe `{word}`");
    }
}
