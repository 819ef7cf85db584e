//! Making a list of operations small: delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input").

use anyhow::Result;

/// The fewest of `all` that this finds to still fail, in their order. `fails` is asked about lists of them; that all of them
/// fail is taken for granted.
///
/// # Errors
///
/// What `fails` could not find out.
pub(super) fn shrink(all: &[usize], mut fails: impl FnMut(&[usize]) -> Result<bool>) -> Result<Vec<usize>> {
    let mut kept = all.to_vec();
    let mut pieces = 2;
    while !kept.is_empty() {
        let length = kept.len().div_ceil(pieces);
        let mut smaller = None;
        for start in (0..kept.len()).step_by(length) {
            let inside = |place: usize| (start..start + length).contains(&place);
            let rest: Vec<usize> = kept
                .iter()
                .enumerate()
                .filter(|(place, _)| !inside(*place))
                .map(|(_, number)| *number)
                .collect();
            if fails(&rest)? {
                smaller = Some(rest);
                break;
            }
        }
        match smaller {
            Some(rest) => {
                kept = rest;
                pieces = (pieces - 1).max(2);
            }
            None if length == 1 => break,
            None => pieces = (pieces * 2).min(kept.len()),
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_is_left() {
        let all: Vec<usize> = (0..40).collect();
        for needed in [&[][..], &[0], &[39], &[3, 17], &[0, 1, 2, 38, 39]] {
            let mut asked = 0;
            let left = shrink(&all, |kept| {
                asked += 1;
                Ok(needed.iter().all(|number| kept.contains(number)))
            });
            assert_eq!(left.expect("nothing fails here"), needed);
            assert!(asked < 400, "{asked} questions");
        }
    }

    #[test]
    fn what_cannot_be_made_smaller_stays() {
        let all = [4, 7, 9];
        assert_eq!(shrink(&all, |_| Ok(false)).expect("nothing fails here"), all);
    }
}
