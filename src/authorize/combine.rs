use std::fmt;

use http::request::Parts;

use super::{
    decision::Decision,
    denial::Denial,
    describe::policy_layer,
    policy::{And, Not, Or, Policy},
    requirements::Requirements,
};
use crate::principal::Principal;

// Strong Kleene logic. A result is `Ok` (allow) or a denial, which is indeterminate or not. In
// `and`, a denial that is not indeterminate decides; in `or`, an `Ok` does.

impl<A: Policy, B: Policy> Policy for And<A, B> {
    fn evaluate(&self, caller: &Principal, head: &Parts) -> Decision {
        let first = match self.0.evaluate(caller, head).into_ready() {
            Ok(Err(denial)) if denial.is_final() => return Decision::ready(Err(denial)),
            first => first,
        };
        match (first, self.1.evaluate(caller, head).into_ready()) {
            (Ok(first), Ok(second)) => Decision::ready(all(
                first,
                second,
                || self.0.requirements(head),
                || self.1.requirements(head),
            )),
            (first, second) => {
                let requirements = (self.0.requirements(head), self.1.requirements(head));
                wait(first, second, is_denied, |first, second| {
                    all(first, second, || requirements.0, || requirements.1)
                })
            }
        }
    }

    fn requirements(&self, head: &Parts) -> Requirements {
        self.0.requirements(head).and(self.1.requirements(head))
    }

    fn is_public(&self, head: &Parts) -> bool {
        self.0.is_public(head) && self.1.is_public(head)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe_pair(&self.0, "and", &self.1, f)
    }
}

impl<A: Policy, B: Policy> Policy for Or<A, B> {
    fn evaluate(&self, caller: &Principal, head: &Parts) -> Decision {
        let first = match self.0.evaluate(caller, head).into_ready() {
            Ok(Ok(())) => return Decision::ready(Ok(())),
            first => first,
        };
        match (first, self.1.evaluate(caller, head).into_ready()) {
            (Ok(first), Ok(second)) => Decision::ready(any(first, second)),
            (first, second) => wait(first, second, Result::is_ok, any),
        }
    }

    fn requirements(&self, head: &Parts) -> Requirements {
        self.0.requirements(head).or(self.1.requirements(head))
    }

    fn is_public(&self, head: &Parts) -> bool {
        self.0.is_public(head) || self.1.is_public(head)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe_pair(&self.0, "or", &self.1, f)
    }
}

impl<A: Policy> Policy for Not<A> {
    fn evaluate(&self, caller: &Principal, head: &Parts) -> Decision {
        self.0.evaluate(caller, head).map(|result| match result {
            Ok(()) => Err(Denial::forbidden()),
            Err(denial) if denial.is_indeterminate() => Err(denial),
            Err(_) => Ok(()),
        })
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not ")?;
        self.0.describe(f)
    }
}

/// Combines the results of two policies that must both allow the request.
///
/// A denial also names the requirements of a policy that allows the request.
fn all<A, B>(
    first: Result<(), Denial>,
    second: Result<(), Denial>,
    of_first: A,
    of_second: B,
) -> Result<(), Denial>
where
    A: FnOnce() -> Requirements,
    B: FnOnce() -> Requirements,
{
    match (first, second) {
        (Ok(()), Ok(())) => Ok(()),
        (Err(denial), Ok(())) => Err(denial.with_requirements(of_second())),
        (Ok(()), Err(denial)) => Err(denial.with_requirements(of_first())),
        (Err(denial), Err(other)) => Err(denial.and(other)),
    }
}

/// Combines the results of two policies of which one must allow the request.
fn any(first: Result<(), Denial>, second: Result<(), Denial>) -> Result<(), Denial> {
    let Err(denial) = first else { return Ok(()) };
    second.map_err(|other| denial.or(other))
}

/// Returns whether the result is `false`, and not indeterminate.
fn is_denied(result: &Result<(), Denial>) -> bool {
    result.as_ref().is_err_and(|denial| !denial.is_indeterminate())
}

/// Combines two decisions of which at least one is pending.
///
/// If one of them decides the result, the other is not awaited, and `combine` gets `Ok` for it.
/// A pending decision is dropped without being polled if the other is ready and decides.
fn wait<C>(
    first: Result<Result<(), Denial>, Decision>,
    second: Result<Result<(), Denial>, Decision>,
    decides: fn(&Result<(), Denial>) -> bool,
    combine: C,
) -> Decision
where
    C: FnOnce(Result<(), Denial>, Result<(), Denial>) -> Result<(), Denial> + Send + 'static,
{
    match (first, second) {
        (Ok(first), _) if decides(&first) => Decision::ready(combine(first, Ok(()))),
        (_, Ok(second)) if decides(&second) => Decision::ready(combine(Ok(()), second)),
        (Ok(first), Ok(second)) => Decision::ready(combine(first, second)),
        (Ok(first), Err(second)) => second.map(|second| combine(first, second)),
        (Err(first), Ok(second)) => first.map(|first| combine(first, second)),
        (Err(first), Err(second)) => Decision::pending(async move {
            let first = first.await;
            let second = if decides(&first) { Ok(()) } else { second.await };
            combine(first, second)
        }),
    }
}

policy_layer!(And<A, B>, A, B);
policy_layer!(Or<A, B>, A, B);
policy_layer!(Not<A>, A);

fn describe_pair<A, B>(
    first: &A,
    operator: &str,
    second: &B,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result
where
    A: Policy,
    B: Policy,
{
    f.write_str("(")?;
    first.describe(f)?;
    write!(f, " {operator} ")?;
    second.describe(f)?;
    f.write_str(")")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorize::policies::{public::public, scopes::RequireScopes};

    #[test]
    fn combination_is_public_only_if_no_branch_needs_a_caller() {
        let head = http::Request::new(()).into_parts().0;
        let admin = || RequireScopes::all(["admin"]);
        assert!(public().and(public()).is_public(&head));
        assert!(public().or(admin()).is_public(&head) && admin().or(public()).is_public(&head));
        for closed in [
            Box::new(public().and(admin())) as Box<dyn Policy>,
            Box::new(admin().and(public())),
            Box::new(admin().or(admin())),
            Box::new(public().not()),
            Box::new(admin().not()),
            Box::new(public().not().not()),
        ] {
            assert!(!closed.is_public(&head));
        }
    }
}
