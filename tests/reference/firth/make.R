# The numbers of R's brglm2 for three tables: Rscript make.R FOLDER_OF_THIS_FILE
suppressMessages(library(brglm2))
options(digits = 17)
to <- commandArgs(trailingOnly = TRUE)[1]
text <- function(x) paste0("[", paste(sprintf("%.17g", x), collapse = ", "), "]")
write_case <- function(name, fit, X, y, weight, source) {
  columns <- apply(X, 2, text)
  cat(sprintf(paste0(
    '{\n  "source": "%s",\n  "call": "%s",\n  "program": "R %s, brglm2 %s",\n  "family": "%s", "link": "%s",\n',
    '  "names": [%s],\n  "X": {\n%s\n  },\n  "y": %s,\n  "weight": %s,\n',
    '  "coef": %s,\n  "se": %s\n}\n'),
    source, gsub('"', "'", paste(trimws(deparse(fit$call)), collapse = " ")),
    paste(R.version$major, R.version$minor, sep = "."), as.character(packageVersion("brglm2")),
    fit$family$family, fit$family$link,
    paste0('"', colnames(X), '"', collapse = ", "),
    paste0('    "', colnames(X), '": ', columns, collapse = ",\n"),
    text(y), text(weight), text(coef(fit)), text(sqrt(diag(vcov(fit))))),
    file = file.path(to, paste0(name, ".json")))
}
data(endometrial, package = "brglm2")
fit <- glm(HG ~ NV + PI + EH, family = binomial("logit"), data = endometrial, method = "brglmFit",
           type = "AS_mean", epsilon = 1e-14, maxit = 1000)
write_case("endometrial", fit, model.matrix(fit), endometrial$HG, rep(1, nrow(endometrial)),
           "Heinze and Schemper (2002), Statistics in Medicine 21, 2409-2419; data(endometrial) of brglm2")
data(lizards, package = "brglm2")
total <- lizards$grahami + lizards$opalinus
fit <- glm(cbind(grahami, opalinus) ~ height + diameter + light + time, family = binomial("logit"), data = lizards,
           method = "brglmFit", type = "AS_mean", epsilon = 1e-14, maxit = 1000)
write_case("lizards", fit, model.matrix(fit), ifelse(total > 0, lizards$grahami / total, 0),
           total, "Schoener (1970), Ecology 51; McCullagh and Nelder (1989), Generalized Linear Models; data(lizards) of brglm2")
fit <- glm(count ~ spray, family = poisson("log"), data = transform(InsectSprays, count = ifelse(spray == "C", 0, count)),
           method = "brglmFit", type = "AS_mean", epsilon = 1e-14, maxit = 1000)
write_case("insectsprays_zero", fit, model.matrix(fit), fit$y, rep(1, length(fit$y)),
           "Beall (1942), Biometrika 32; data(InsectSprays) of R, the counts of spray C set to zero")
