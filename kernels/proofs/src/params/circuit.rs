//! The polynomials of a circuit at the secret point, without storing the circuit.
//!
//! The circuit is synthesised twice. The first pass counts constraints, which fixes the evaluation
//! domain and with it the value of every Lagrange polynomial at the secret point. The second pass
//! adds `coefficient * L_i(tau)` to three sums per variable as constraint `i` goes by. That takes 96
//! bytes per variable, where a stored matrix takes many times as much.
//!
//! Source: Groth, "On the Size of Pairing-based Non-interactive Arguments" (2016), section 3; the
//! order of constraints and the added input constraints are those that the prover of `bellperson`
//! assumes.

use bellpepper_core::{
    Circuit, ConstraintSystem, Index, LinearCombination, SynthesisError, Variable,
};
use blstrs::Scalar;
use ff::{Field, PrimeField};
use rayon::prelude::*;

/// `A`, `B` and `C` of one variable at the secret point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sums {
    pub a: Scalar,
    pub b: Scalar,
    pub c: Scalar,
}

impl Sums {
    const ZERO: Self = Self { a: Scalar::ZERO, b: Scalar::ZERO, c: Scalar::ZERO };
}

/// A circuit at the secret point.
pub(super) struct Evaluated {
    /// Size of the evaluation domain, a power of two.
    pub domain: u64,
    /// `tau^domain - 1`.
    pub vanishing: Scalar,
    /// Public inputs, the constant one first.
    pub inputs: Vec<Sums>,
    pub aux: Vec<Sums>,
}

/// Evaluates the circuit that `make` builds (twice the same).
pub(super) fn evaluate<C: Circuit<Scalar>>(
    make: impl Fn() -> C,
    tau: Scalar,
) -> Result<Evaluated, SynthesisError> {
    let counted = synthesise(make(), Assembly::counting())?;
    let domain = (counted.constraints as u64).next_power_of_two();
    let vanishing = tau.pow_vartime([domain]) - Scalar::ONE;
    let lagrange = lagrange_at(tau, domain, vanishing)?;
    let summed = synthesise(
        make(),
        Assembly {
            lagrange,
            inputs: Vec::with_capacity(counted.input_count),
            aux: Vec::with_capacity(counted.aux_count),
            ..Assembly::counting()
        },
    )?;
    if summed.constraints != counted.constraints {
        // The circuit would depend on something other than its parameters.
        return Err(SynthesisError::Unsatisfiable);
    }
    Ok(Evaluated { domain, vanishing, inputs: summed.inputs, aux: summed.aux })
}

/// The value at `tau` of each Lagrange polynomial over the roots of unity:
/// `w^i (tau^m - 1) / (m (tau - w^i))`.
fn lagrange_at(tau: Scalar, domain: u64, vanishing: Scalar) -> Result<Vec<Scalar>, SynthesisError> {
    let log = domain.trailing_zeros();
    if log > Scalar::S {
        return Err(SynthesisError::PolynomialDegreeTooLarge);
    }
    let root = (log..Scalar::S).fold(Scalar::ROOT_OF_UNITY, |root, _| root.square());
    let inverse = |value: Scalar| {
        Option::<Scalar>::from(value.invert()).ok_or(SynthesisError::UnexpectedIdentity)
    };
    let factor = vanishing * inverse(Scalar::from(domain))?;

    const CHUNK: usize = 1 << 12;
    let mut values = vec![
        Scalar::ZERO;
        usize::try_from(domain)
            .map_err(|_| { SynthesisError::PolynomialDegreeTooLarge })?
    ];
    values.par_chunks_mut(CHUNK).enumerate().try_for_each(
        |(index, chunk)| -> Result<(), SynthesisError> {
            // One inversion per chunk: products of the denominators forwards, quotients backwards.
            let first = root.pow_vartime([(index * CHUNK) as u64]);
            let mut power = first;
            let mut product = Scalar::ONE;
            for value in chunk.iter_mut() {
                *value = product;
                product *= tau - power;
                power *= root;
            }
            let mut inverse_product = inverse(product)?;
            let root_inverse = inverse(root)?;
            for value in chunk.iter_mut().rev() {
                power *= root_inverse;
                *value *= inverse_product * power * factor;
                inverse_product *= tau - power;
            }
            Ok(())
        },
    )?;
    Ok(values)
}

/// Counts; and sums when it has Lagrange values.
struct Assembly {
    lagrange: Vec<Scalar>,
    constraints: usize,
    input_count: usize,
    aux_count: usize,
    inputs: Vec<Sums>,
    aux: Vec<Sums>,
}

fn synthesise<C: Circuit<Scalar>>(
    circuit: C,
    mut assembly: Assembly,
) -> Result<Assembly, SynthesisError> {
    assembly.alloc_input(|| "", || Ok(Scalar::ONE))?;
    circuit.synthesize(&mut assembly)?;
    // Every public input gets a constraint of its own, so that no two of them can be traded.
    for input in 0..assembly.input_count {
        let variable = Variable::new_unchecked(Index::Input(input));
        assembly.enforce(|| "", |lc| lc + variable, |lc| lc, |lc| lc);
    }
    Ok(assembly)
}

impl Assembly {
    fn counting() -> Self {
        Self {
            lagrange: Vec::new(),
            constraints: 0,
            input_count: 0,
            aux_count: 0,
            inputs: Vec::new(),
            aux: Vec::new(),
        }
    }

    fn add(
        &mut self,
        terms: &LinearCombination<Scalar>,
        at: Scalar,
        part: impl Fn(&mut Sums) -> &mut Scalar,
    ) {
        for (input, coefficient) in terms.iter_inputs() {
            accumulate(part(&mut self.inputs[*input]), *coefficient, at);
        }
        for (aux, coefficient) in terms.iter_aux() {
            accumulate(part(&mut self.aux[*aux]), *coefficient, at);
        }
    }
}

/// Most coefficients are one, which saves a multiplication.
fn accumulate(sum: &mut Scalar, coefficient: Scalar, at: Scalar) {
    if coefficient == Scalar::ONE {
        *sum += at;
    } else {
        *sum += coefficient * at;
    }
}

impl ConstraintSystem<Scalar> for Assembly {
    type Root = Self;

    fn alloc<F, A, AR>(&mut self, _: A, _: F) -> Result<Variable, SynthesisError>
    where
        F: FnOnce() -> Result<Scalar, SynthesisError>,
        A: FnOnce() -> AR,
        AR: Into<String>,
    {
        let index = self.aux_count;
        self.aux_count += 1;
        if !self.lagrange.is_empty() {
            self.aux.push(Sums::ZERO);
        }
        Ok(Variable::new_unchecked(Index::Aux(index)))
    }

    fn alloc_input<F, A, AR>(&mut self, _: A, _: F) -> Result<Variable, SynthesisError>
    where
        F: FnOnce() -> Result<Scalar, SynthesisError>,
        A: FnOnce() -> AR,
        AR: Into<String>,
    {
        let index = self.input_count;
        self.input_count += 1;
        if !self.lagrange.is_empty() {
            self.inputs.push(Sums::ZERO);
        }
        Ok(Variable::new_unchecked(Index::Input(index)))
    }

    fn enforce<A, AR, LA, LB, LC>(&mut self, _: A, a: LA, b: LB, c: LC)
    where
        A: FnOnce() -> AR,
        AR: Into<String>,
        LA: FnOnce(LinearCombination<Scalar>) -> LinearCombination<Scalar>,
        LB: FnOnce(LinearCombination<Scalar>) -> LinearCombination<Scalar>,
        LC: FnOnce(LinearCombination<Scalar>) -> LinearCombination<Scalar>,
    {
        let index = self.constraints;
        self.constraints += 1;
        // Beyond the counted number there is nothing; `evaluate` then sees the difference.
        let Some(at) = self.lagrange.get(index).copied() else {
            return;
        };
        self.add(&a(LinearCombination::zero()), at, |sums| &mut sums.a);
        self.add(&b(LinearCombination::zero()), at, |sums| &mut sums.b);
        self.add(&c(LinearCombination::zero()), at, |sums| &mut sums.c);
    }

    fn push_namespace<NR, N>(&mut self, _: N)
    where
        NR: Into<String>,
        N: FnOnce() -> NR,
    {
    }

    fn pop_namespace(&mut self) {}

    fn get_root(&mut self) -> &mut Self::Root {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lagrange_values_interpolate() {
        // Sum of L_i(tau) w^(i k) is tau^k for every k below the domain size.
        let (tau, domain) = (Scalar::from(12_345_u64), 8192_u64);
        let vanishing = tau.pow_vartime([domain]) - Scalar::ONE;
        let values = lagrange_at(tau, domain, vanishing).unwrap();
        let root =
            (domain.trailing_zeros()..Scalar::S).fold(Scalar::ROOT_OF_UNITY, |w, _| w.square());
        for k in [0_u64, 1, 5000, 8191] {
            let step = root.pow_vartime([k]);
            let mut power = Scalar::ONE;
            let mut sum = Scalar::ZERO;
            for value in &values {
                sum += *value * power;
                power *= step;
            }
            assert_eq!(sum, tau.pow_vartime([k]), "k = {k}");
        }
    }
}
