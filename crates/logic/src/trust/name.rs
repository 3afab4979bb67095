//! The one form in which a certificate says which node it is for.
//!
//! Exactly one subject alternative name of kind DNS, and that is the node's name, letter by letter. The common name does not count, nor
//! does an IP address; a wildcard is nobody's name, since no node's name has a `*`. One form leaves nothing to interpret: whoever can
//! speak for a node can have it restarted and taken out.

/// Whether a certificate with these DNS names may speak for this node.
///
/// # Errors
/// Why not, as a sentence for whoever set the node up.
pub fn speaks_for(names: &[String], node: &str) -> Result<(), String> {
    match names {
        [name] if name == node => Ok(()),
        [name] => Err(format!("this certificate is for {name:?} and speaks for nobody else, least of all for {node:?}")),
        [] => Err(format!("this certificate names nobody: it needs {node:?} as its one subject alternative name of kind DNS")),
        [first, second, ..] => Err(format!(
            "this certificate names {first:?}, {second:?}{}: it needs {node:?} as its one subject alternative name of kind DNS",
            if names.len() > 2 { " and more" } else { "" }
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: &[&str]) -> Result<(), String> {
        speaks_for(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), "bingo-1")
    }

    #[test]
    fn a_certificate_speaks_for_the_one_node_that_it_names() {
        assert_eq!(told(&["bingo-1"]), Ok(()));
        let other = "this certificate is for \"bingo-2\" and speaks for nobody else, least of all for \"bingo-1\"";
        assert_eq!(told(&["bingo-2"]).unwrap_err(), other);
        for near in ["Bingo-1", "bingo-1.", "bingo-1.example.org", "*", "bingo-*", "bingo-11", "bingo-", "", " bingo-1"] {
            assert!(told(&[near]).is_err(), "{near:?}");
        }
        assert!(told(&[]).unwrap_err().starts_with("this certificate names nobody: it needs \"bingo-1\""));
        assert!(told(&["bingo-1", "bingo-2"]).unwrap_err().starts_with("this certificate names \"bingo-1\", \"bingo-2\": it needs"));
        assert!(told(&["bingo-1", "bingo-1", "x"]).unwrap_err().contains("and more"));
        assert!(!told(&["a\nb"]).unwrap_err().contains('\n'), "it stands in a record");
    }
}
