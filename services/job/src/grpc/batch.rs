//! Calls with many items, each of which has its own result.

use std::future::Future;

use granary_core::{Error, Result};

/// Has the items of `field` that can be understood taken together. The result of each item follows its name, in the order of the request: one
/// that is wrong does not stop the others.
pub(super) async fn each<I, O, A, F>(
    field: &str,
    items: Vec<I>,
    name: impl Fn(&I) -> String,
    parse: impl Fn(I) -> Result<O>,
    take: impl FnOnce(Vec<O>) -> F,
) -> Result<Vec<(String, Result<A>)>>
where
    F: Future<Output = Result<Vec<Result<A>>>>,
{
    let names: Vec<String> = items.iter().map(name).collect();
    let mut good = Vec::with_capacity(items.len());
    let mut places = Vec::with_capacity(items.len());
    for (i, item) in items.into_iter().enumerate() {
        let parsed = parse(item).map_err(|error| error.within(&format!("{field}[{i}]")));
        places.push(parsed.map(|item| good.push(item)));
    }
    let mut answers = if good.is_empty() {
        Vec::new()
    } else {
        take(good).await?
    }
    .into_iter();
    let results = places
        .into_iter()
        .map(|place| place.and_then(|()| answers.next().unwrap_or_else(|| Err(missing()))));
    Ok(names.into_iter().zip(results).collect())
}

fn missing() -> Error {
    Error::Internal {
        context: "answering a batch".into(),
        cause: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(results: Result<Vec<(String, Result<i32>)>>) -> Vec<String> {
        let one = |(name, result): (String, Result<i32>)| match result {
            Ok(answer) => format!("{name} = {answer}"),
            Err(error) => format!("{name}: {error}"),
        };
        results.unwrap().into_iter().map(one).collect()
    }

    fn parse(text: &str) -> Result<i32> {
        text.parse().map_err(|_| Error::invalid("n", "no number"))
    }

    #[tokio::test]
    async fn each_item_gets_its_own_result() {
        let items = vec!["1", "x", "3", "4"];
        let half = |numbers: Vec<i32>| async move {
            assert_eq!(numbers, [1, 3, 4], "only those that are right are taken");
            Ok(vec![Ok(10), Err(Error::not_found("3"))])
        };
        let results = each("items", items, |item| (*item).to_owned(), parse, half).await;
        assert_eq!(
            text(results),
            [
                "1 = 10",
                "x: items[1].n: no number",
                "3: 3 not found",
                "4: internal error while answering a batch"
            ]
        );
    }

    #[tokio::test]
    async fn nothing_is_taken_when_all_is_wrong() {
        let never = |_: Vec<i32>| async { panic!("there is nothing to take") };
        let results = each("items", vec!["x"], |item| (*item).to_owned(), parse, never).await;
        assert_eq!(text(results), ["x: items[0].n: no number"]);
    }
}
