//! Runs the example and checks its output.

use tower_auth_test_support::program::Program;

#[test]
fn example_prints_the_outcome_of_three_calls() {
    let mut program = Program::start(env!("CARGO_BIN_EXE_grpc"), &[]);
    assert_eq!(program.read_line().unwrap(), "without a token: Unauthenticated");
    assert_eq!(program.read_line().unwrap(), "without the scope: PermissionDenied");
    assert_eq!(program.read_line().unwrap(), "with both: Serving");
    assert_eq!(program.read_line(), None);
    assert_eq!(program.wait(), (String::new(), true));
}
