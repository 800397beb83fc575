//! Both back ends against the `sha2` crate, for every shape of call that the labelling makes.

use sha2::Digest as _;
use sha2raw::{Backend, Sha256};

fn nodes(count: usize, salt: u8) -> Vec<[u8; 32]> {
    (0..count).map(|i| sha2::Sha256::digest([salt, i as u8, (i >> 8) as u8]).into()).collect()
}

fn backends() -> Vec<Backend> {
    let all = [Backend::Portable, Backend::ShaNi];
    all.into_iter().filter(|b| Sha256::with_backend(*b).is_some()).collect()
}

fn expected(nodes: &[[u8; 32]]) -> [u8; 32] {
    sha2::Sha256::digest(nodes.concat()).into()
}

#[test]
fn the_detected_backend_is_usable_and_the_portable_one_always_is() {
    assert!(backends().contains(&Backend::Portable));
    assert!(backends().contains(&Backend::detect()));
    // `with_backend` must not hand out what the processor lacks.
    if Backend::detect() == Backend::Portable {
        assert!(Sha256::with_backend(Backend::ShaNi).is_none());
    }
}

#[test]
fn every_even_count_of_nodes_equals_sha2() {
    for backend in backends() {
        for count in (0..=64).step_by(2) {
            let nodes = nodes(count, 1);
            let views: Vec<&[u8]> = nodes.iter().map(|n| &n[..]).collect();
            let mut hasher = Sha256::with_backend(backend).expect("listed as usable");
            hasher.input(&views);
            assert_eq!(hasher.finish(), expected(&nodes), "{backend:?}, {count} nodes");
        }
    }
}

#[test]
fn every_odd_count_of_nodes_equals_sha2_through_finish_with() {
    for backend in backends() {
        for count in (1..=65).step_by(2) {
            let nodes = nodes(count, 2);
            let views: Vec<&[u8]> = nodes.iter().map(|n| &n[..]).collect();
            let mut hasher = Sha256::with_backend(backend).expect("listed as usable");
            hasher.input(&views[..count - 1]);
            assert_eq!(
                hasher.finish_with(views[count - 1]),
                expected(&nodes),
                "{backend:?}, {count}"
            );
        }
    }
}

/// The exact sequences of the two kinds of label: prefix, then the parents of layer 1 (6 nodes six
/// times and one more) or of a later layer (14, 14, 8 and one more).
#[test]
fn the_call_sequences_of_labels_equal_sha2() {
    let sequences: [&[usize]; 2] = [&[2, 6, 6, 6, 6, 6, 6], &[2, 14, 14, 8]];
    for backend in backends() {
        for sequence in sequences {
            let all = nodes(sequence.iter().sum::<usize>() + 1, 3);
            let mut hasher = Sha256::with_backend(backend).expect("listed as usable");
            let mut at = 0;
            for count in sequence {
                let views: Vec<&[u8]> = all[at..at + count].iter().map(|n| &n[..]).collect();
                hasher.input(&views);
                at += count;
            }
            assert_eq!(hasher.finish_with(&all[at]), expected(&all), "{backend:?} {sequence:?}");
        }
    }
}

#[test]
fn unaligned_nodes_equal_sha2() {
    let bytes: Vec<u8> = (0..=255).cycle().take(4 * 32 + 3).collect();
    for backend in backends() {
        for offset in 0..3 {
            let views: Vec<&[u8]> = bytes[offset..offset + 128].chunks(32).collect();
            let mut hasher = Sha256::with_backend(backend).expect("listed as usable");
            hasher.input(&views);
            let expected: [u8; 32] = sha2::Sha256::digest(&bytes[offset..offset + 128]).into();
            assert_eq!(hasher.finish(), expected);
        }
    }
}

#[test]
fn digest_is_input_and_finish() {
    let nodes = nodes(38, 4);
    let views: Vec<&[u8]> = nodes.iter().map(|n| &n[..]).collect();
    assert_eq!(Sha256::digest(&views), expected(&nodes));
}

#[test]
#[should_panic(expected = "an even number of nodes")]
fn an_odd_number_of_nodes_is_refused() {
    Sha256::new().input(&[&[0u8; 32]]);
}

#[test]
#[should_panic(expected = "a node has 32 bytes")]
fn a_short_node_is_refused() {
    Sha256::new().input(&[&[0u8; 32], &[0u8; 31]]);
}
