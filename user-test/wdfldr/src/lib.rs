//! Test double of KMDF's loader library, for Wine.
