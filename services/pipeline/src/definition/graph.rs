//! The order of steps by what they need.

/// Depth-first search for an order in which each step comes after what it needs; `needs[i]` are the steps that `i` needs.
///
/// # Errors
/// A cycle, as the steps along it; the first is repeated at the end.
pub(super) fn order(needs: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut search = Search {
        needs,
        marks: vec![Mark::New; needs.len()],
        path: Vec::new(),
        order: Vec::with_capacity(needs.len()),
    };
    for step in 0..needs.len() {
        search.visit(step)?;
    }
    Ok(search.order)
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    Open,
    Done,
}

struct Search<'a> {
    needs: &'a [Vec<usize>],
    marks: Vec<Mark>,
    /// The steps on the way to where the search is, each with how many of its needs were looked at.
    path: Vec<(usize, usize)>,
    order: Vec<usize>,
}

impl Search<'_> {
    // With a path of its own, not by recursion: the datasets of a project make long ones.
    fn visit(&mut self, start: usize) -> Result<(), Vec<usize>> {
        self.enter(start)?;
        while let Some((step, seen)) = self.path.last_mut() {
            let step = *step;
            match self.needs.get(step).and_then(|needs| needs.get(*seen)) {
                Some(need) => {
                    *seen += 1;
                    self.enter(*need)?;
                }
                None => {
                    self.path.pop();
                    self.mark(step, Mark::Done);
                    self.order.push(step);
                }
            }
        }
        Ok(())
    }

    fn enter(&mut self, step: usize) -> Result<(), Vec<usize>> {
        match self.marks.get(step) {
            Some(Mark::New) => {
                self.mark(step, Mark::Open);
                self.path.push((step, 0));
                Ok(())
            }
            Some(Mark::Open) => {
                let path = self.path.iter().map(|(at, _)| *at);
                let mut cycle: Vec<usize> = path.skip_while(|at| *at != step).collect();
                cycle.push(step);
                Err(cycle)
            }
            Some(Mark::Done) | None => Ok(()),
        }
    }

    fn mark(&mut self, step: usize, mark: Mark) {
        if let Some(slot) = self.marks.get_mut(step) {
            *slot = mark;
        }
    }
}

/// A cycle in a graph of names, if `edges` (from, to) have one.
pub(crate) fn name_cycle(edges: &[(String, String)]) -> Option<Vec<String>> {
    let mut names: Vec<&String> = edges.iter().flat_map(|(from, to)| [from, to]).collect();
    names.sort();
    names.dedup();
    let index = |name: &String| names.binary_search(&name).unwrap_or(0);
    let mut next = vec![Vec::new(); names.len()];
    for (from, to) in edges {
        if let Some(list) = next.get_mut(index(from)) {
            list.push(index(to));
        }
    }
    let cycle = order(&next).err()?;
    Some(
        cycle
            .into_iter()
            .filter_map(|at| names.get(at).map(|name| (*name).clone()))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_comes_first() {
        assert_eq!(order(&[vec![2], vec![], vec![1]]), Ok(vec![1, 2, 0]));
    }

    #[test]
    fn a_cycle_is_named_from_where_it_closes() {
        assert_eq!(order(&[vec![1], vec![2], vec![1]]), Err(vec![1, 2, 1]));
        assert_eq!(order(&[vec![0]]), Err(vec![0, 0]));
    }

    #[test]
    fn a_long_way_is_gone_to_its_end() {
        let length = 1_000_000;
        let mut needs: Vec<Vec<usize>> = (1..length).map(|next| vec![next]).collect();
        needs.push(vec![]);
        assert_eq!(order(&needs).unwrap().first(), Some(&(length - 1)));
        needs[length - 1].push(0);
        assert_eq!(order(&needs).unwrap_err().len(), length + 1);
    }

    #[test]
    fn datasets_that_feed_each_other_are_a_cycle() {
        let edge = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        assert_eq!(name_cycle(&[edge("raw", "a"), edge("a", "b")]), None);
        assert_eq!(
            name_cycle(&[edge("raw", "a"), edge("a", "raw")]),
            Some(vec!["a".into(), "raw".into(), "a".into()])
        );
    }
}
