//! The stages that make, check and open a sealed sector, except the labels of PC1.

use std::fs::{self, File};
use std::io::BufReader;

use crate::files::{self, FileError};
use crate::kernels::{self, Kernels};
use crate::library::{self, Sealing};
use crate::params::{self, ParamSet};
use crate::proof_type::{C1_OUTPUT, P_AUX, PIECE, PROOF, SEALED, T_AUX, TREE_D, UNSEALED};
use crate::stage::StageError;
use crate::stage::context::Context;
use crate::verify::{self, SealClaim};

type Done = Result<(), StageError>;

pub(super) fn add_piece(context: &mut Context<'_>) -> Done {
    let proof = context.order.proof;
    let source = &context.input("source")?.path;
    let (len, digest) = context.timed("hash source", |_| Ok(files::digest(source)?))?;
    let capacity = proof.capacity_bytes();
    if len > capacity {
        return Err(StageError::PieceTooLarge { len, capacity, proof });
    }
    let file = File::open(source).map_err(FileError::io("open", source))?;
    let target_path = context.path(UNSEALED);
    let target = File::create(&target_path).map_err(FileError::io("create", &target_path))?;
    let pieces = match context.kernels()? {
        Kernels::Own => {
            context.kernel("add piece", |_| kernels::add_piece(proof, file, len, &target))?
        }
        Kernels::Library => {
            context.library("add piece", || library::add_piece(proof, file, len, &target))?
        }
    };
    let (found, digest_after) = files::digest(source)?;
    if (found, &digest_after) != (len, &digest) {
        return Err(StageError::SourceChanged { expected: len, found });
    }
    let first = pieces.first().expect("a sector has at least one piece");
    context.set("comm_p", first.comm_p.clone());
    context.set("piece_bytes", first.bytes.to_string());
    context.set("piece_len", len.to_string());
    context.set("piece_blake3", digest);
    let list = serde_json::to_string(&pieces).expect("strings and numbers serialise");
    context.set("pieces", list);
    context.made(UNSEALED);
    Ok(())
}

pub(super) fn tree_d(context: &mut Context<'_>) -> Done {
    let proof = context.order.proof;
    let unsealed = &context.input(UNSEALED)?.path;
    let pieces = context.pieces()?;
    let (comm_d, expected) = match context.kernels()? {
        Kernels::Own => {
            let (comm_d, file) = context.kernel("tree D", |context| {
                let threads = kernels::threads(context.order.threads);
                kernels::tree_d(proof, unsealed, &context.order.out_dir, threads)
            })?;
            context.made_durably(file);
            let expected =
                context.kernel("CommD of pieces", |_| kernels::comm_d_of_pieces(proof, &pieces))?;
            (comm_d, expected)
        }
        Kernels::Library => {
            let data = fs::read(unsealed).map_err(FileError::io("read", unsealed))?;
            // The tree is made next to its final place: a store file of an interrupted run would
            // be taken for a finished one.
            let work = context.work_dir("tree-d")?;
            let comm_d = context.library("tree D", || library::tree_d(proof, &data, &work))?;
            context.keep(&work.join(TREE_D), TREE_D)?;
            let expected =
                context.library("CommD of pieces", || library::comm_d_of_pieces(proof, &pieces))?;
            (comm_d, expected)
        }
    };
    check_equal(context, "CommD", &expected, &comm_d)?;
    context.set("comm_d", hex::encode(comm_d));
    Ok(())
}

pub(super) fn pc2(context: &mut Context<'_>) -> Done {
    match context.kernels()? {
        Kernels::Own => pc2_own(context),
        Kernels::Library => pc2_library(context),
    }
}

/// The kernel checks nothing of the data against `comm_d`: its input was checked by digest.
fn pc2_own(context: &mut Context<'_>) -> Done {
    let proof = context.order.proof;
    let mut layers = Vec::new();
    for name in proof.layer_names() {
        layers.push(context.input(&name)?.path.clone());
    }
    let unsealed = &context.input(UNSEALED)?.path;
    let made = context.encode_and_build_trees(proof, layers, unsealed)?;
    for file in made.files {
        context.made_durably(file);
    }
    context.set("comm_r", hex::encode(made.comm_r));
    context.set("comm_c", hex::encode(made.comm_c));
    context.set("comm_r_last", hex::encode(made.comm_r_last));
    Ok(())
}

fn pc2_library(context: &mut Context<'_>) -> Done {
    let proof = context.order.proof;
    let comm_d = context.value_bytes32("comm_d")?;
    let work = context.work_dir("cache")?;
    context.link_inputs(&proof.layer_names(), "", &work)?;
    context.link_inputs(&[TREE_D.to_owned()], "", &work)?;

    // The library encodes the replica in place, hence a copy.
    let replica = context.path(SEALED);
    let unsealed = &context.input(UNSEALED)?.path;
    files::remove_if_there(&replica)?;
    files::copy(unsealed, &replica)?;

    let comm_r = context.library("encode and build trees", || {
        library::pre_commit_2(proof, comm_d, &work, &replica)
    })?;
    let (comm_c, comm_r_last) = context.library("read p_aux", || library::p_aux(&work))?;
    context.made(SEALED);
    for name in proof.tree_c_names().into_iter().chain(proof.tree_r_last_names()) {
        context.keep(&work.join(&name), &name)?;
    }
    context.keep(&work.join(P_AUX), P_AUX)?;
    write_t_aux(context)?;
    context.set("comm_r", hex::encode(comm_r));
    context.set("comm_c", hex::encode(comm_c));
    context.set("comm_r_last", hex::encode(comm_r_last));
    Ok(())
}

fn write_t_aux(context: &mut Context<'_>) -> Done {
    let (proof, dir) = (context.order.proof, &context.order.out_dir);
    context.library("write t_aux", || library::t_aux(proof, dir))?;
    context.made(T_AUX);
    Ok(())
}

pub(super) fn c1(context: &mut Context<'_>) -> Done {
    let proof = context.order.proof;
    let pieces = context.pieces()?;
    let sealing = Sealing {
        proof,
        sector: context.order.sector,
        ticket: context.ticket()?,
        comm_d: context.value_bytes32("comm_d")?,
        comm_r: context.value_bytes32("comm_r")?,
        pieces: &pieces,
    };
    let seed = context.seed()?;
    let work = context.work_dir("cache")?;
    let mut names = proof.layer_names();
    names.extend([TREE_D.to_owned(), P_AUX.to_owned()]);
    names.extend(proof.tree_c_names());
    names.extend(proof.tree_r_last_names());
    context.link_inputs(&names, "", &work)?;
    let sealed = &context.input(SEALED)?.path;
    let output = context.library("open challenges", || {
        library::t_aux(proof, &work)?;
        library::commit_1(&sealing, seed, &work, sealed)
    })?;
    context.write(C1_OUTPUT, &output)
}

pub(super) fn c2(context: &mut Context<'_>) -> Done {
    let (proof, sector) = (context.order.proof, context.order.sector);
    let c1 = &context.input(C1_OUTPUT)?.path;
    let c1 = BufReader::new(File::open(c1).map_err(FileError::io("open", c1))?);
    context.timed("check parameters", |_| {
        Ok(params::check_present(&params::library_dir(), proof, ParamSet::Porep)?)
    })?;
    let bytes = context.library("prove", || library::commit_2(proof, sector, c1))?;
    context.set(PROOF, hex::encode(&bytes));
    context.write(PROOF, &bytes)
}

pub(super) fn finalize(context: &mut Context<'_>) -> Done {
    let proof = context.order.proof;
    let claim = SealClaim {
        proof,
        sector: context.order.sector,
        comm_d: context.value_bytes32("comm_d")?,
        comm_r: context.value_bytes32("comm_r")?,
        ticket: context.ticket()?,
        seed: context.seed()?,
    };
    let text = context.value("proof")?;
    let bytes = hex::decode(text).map_err(|_| context.malformed("proof", text, "hex"))?;
    let valid = context
        .timed("verify", |_| Ok(verify::verify_seal(&params::library_dir(), &claim, &bytes)?))?;
    if !valid {
        return Err(StageError::NotValid { stage: context.order.stage, what: "the PoRep proof" });
    }
    let mut names = proof.tree_r_last_names();
    names.extend([P_AUX.to_owned(), SEALED.to_owned()]);
    for name in &names {
        files::remove_if_there(&context.path(name))?;
        context.made(name);
    }
    context.link_inputs(&names, "", &context.order.out_dir)?;
    write_t_aux(context)?;
    context.set("verified", "true");
    Ok(())
}

pub(super) fn unseal(context: &mut Context<'_>) -> Done {
    let proof = context.order.proof;
    let sealing = Sealing {
        proof,
        sector: context.order.sector,
        ticket: context.ticket()?,
        comm_d: context.value_bytes32("comm_d")?,
        // Not needed to open a sector.
        comm_r: [0; 32],
        pieces: &[],
    };
    let capacity = proof.capacity_bytes();
    let len = match context.optional_value("piece_len") {
        Some(text) => text.parse::<u64>().ok().filter(|len| *len <= capacity).ok_or_else(|| {
            context.malformed("piece_len", text, "a length that fits into the sector")
        })?,
        None => capacity,
    };
    let sealed = &context.input(SEALED)?.path;
    let path = context.path(PIECE);
    let mut output = File::create(&path).map_err(FileError::io("create", &path))?;
    match context.kernels()? {
        _ if len == 0 => {}
        Kernels::Own => context.kernel("unseal", |context| {
            let threads = kernels::threads(context.order.threads);
            kernels::unseal(&sealing, sealed, &mut output, len, threads)
        })?,
        Kernels::Library => {
            let work = context.work_dir("labels")?;
            context
                .library("unseal", || library::unseal(&sealing, sealed, &work, &mut output, len))?;
        }
    }
    drop(output);
    let (_, digest) = files::digest(&path)?;
    if let Some(expected) = context.optional_value("piece_blake3")
        && !expected.eq_ignore_ascii_case(&digest)
    {
        return Err(StageError::Mismatch {
            stage: context.order.stage,
            what: "a piece with the BLAKE3 digest",
            expected: expected.to_owned(),
            found: digest,
        });
    }
    context.made(PIECE);
    context.set("piece_len", len.to_string());
    context.set("piece_blake3", digest);
    Ok(())
}

fn check_equal(
    context: &Context<'_>,
    what: &'static str,
    expected: &[u8; 32],
    found: &[u8; 32],
) -> Done {
    if expected == found {
        return Ok(());
    }
    Err(StageError::Mismatch {
        stage: context.order.stage,
        what,
        expected: hex::encode(expected),
        found: hex::encode(found),
    })
}
